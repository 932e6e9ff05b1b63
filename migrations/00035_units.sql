-- +goose Up

-- In what an item is counted: rule 46(i) of the CGST Rules wants it of goods.
ALTER TABLE invoice_items ADD COLUMN unit text CHECK (length(unit) BETWEEN 1 AND 20);

-- +goose Down
ALTER TABLE invoice_items DROP COLUMN unit;
