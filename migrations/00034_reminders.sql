-- +goose Up

-- Reminders of overdue invoices: each step, in days after the due date, once for an invoice.
CREATE TABLE invoice_reminders (
    organization_id uuid NOT NULL,
    invoice_id      uuid NOT NULL,
    step            smallint NOT NULL CHECK (step > 0),
    text_job_id     uuid NOT NULL, -- the ai.invoice_reminder that writes it; no foreign keys, as jobs are cleaned up
    mail_job_id     uuid,          -- the mail.send, once there is one
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, invoice_id, step),
    UNIQUE (organization_id, text_job_id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices ON DELETE CASCADE
);
ALTER TABLE invoice_reminders ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invoice_reminders TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON invoice_reminders TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON invoice_reminders TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON invoice_reminders TO payaid_system;

-- Keys of the installation, such as the one that signs what mails carry: made here once, and alike for all processes.
CREATE TABLE installation_secrets (
    name       text PRIMARY KEY,
    secret     bytea NOT NULL CHECK (length(secret) >= 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
-- Two random UUIDs have 244 bits that nobody can guess.
INSERT INTO installation_secrets (name, secret)
VALUES ('mail', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
GRANT SELECT ON installation_secrets TO payaid_app, payaid_system;

-- +goose Down
DROP TABLE installation_secrets;
DROP TABLE invoice_reminders;
