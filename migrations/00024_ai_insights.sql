-- +goose Up

-- What models, or the rules in their place, found out from an organization's own records: the newest of each
-- kind about each thing. About the organization as a whole, when it names no thing.
CREATE TABLE ai_insights (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    kind            text NOT NULL CHECK (length(kind) < 128),
    contact_id      uuid,
    deal_id         uuid,
    invoice_id      uuid,
    job_id          uuid NOT NULL, -- that made it; no foreign key, as jobs are cleaned up
    output          jsonb NOT NULL,
    provider        text NOT NULL, -- ollama, groq, cache or rules
    model           text NOT NULL,
    template        text NOT NULL, -- with its version, such as lead_score.v1
    facts_at        timestamptz NOT NULL, -- when the records were read; an older look never replaces a newer one
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    UNIQUE NULLS NOT DISTINCT (organization_id, kind, contact_id, deal_id, invoice_id),
    FOREIGN KEY (organization_id, contact_id) REFERENCES contacts ON DELETE CASCADE,
    FOREIGN KEY (organization_id, deal_id) REFERENCES deals ON DELETE CASCADE,
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices ON DELETE CASCADE,
    CHECK (num_nonnulls(contact_id, deal_id, invoice_id) <= 1)
);
CREATE INDEX idx_ai_insights_org_contact ON ai_insights (organization_id, contact_id, id);
CREATE INDEX idx_ai_insights_org_deal ON ai_insights (organization_id, deal_id, id);
CREATE INDEX idx_ai_insights_org_invoice ON ai_insights (organization_id, invoice_id, id);
ALTER TABLE ai_insights ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ai_insights TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON ai_insights TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON ai_insights TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_insights TO payaid_system;

-- +goose Down
DROP TABLE ai_insights;
