-- +goose Up

-- What a tax invoice has to name, and where the owner reads mail.
ALTER TABLE organizations
    ADD COLUMN email text CHECK (length(email) BETWEEN 3 AND 254),
    ADD COLUMN address text CHECK (length(address) BETWEEN 1 AND 500); -- lines as on an envelope
ALTER TABLE contacts
    ADD COLUMN address text CHECK (length(address) BETWEEN 1 AND 500);

-- +goose Down
ALTER TABLE contacts DROP COLUMN address;
ALTER TABLE organizations DROP COLUMN address, DROP COLUMN email;
