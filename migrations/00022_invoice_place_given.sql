-- +goose Up

-- Whether the client named the place of supply. Where it did not, the place follows the contact until the
-- invoice is sent. Of the invoices that there are nobody knows any more, so they keep what they say.
ALTER TABLE invoices ADD COLUMN place_of_supply_given boolean NOT NULL DEFAULT true;

-- +goose Down
ALTER TABLE invoices DROP COLUMN place_of_supply_given;
