-- +goose Up

-- What an organization has spent at the fallback provider in a month of its own calendar, and what is set
-- aside for calls that are under way, in billionths of a rupee. The row's lock is what keeps concurrent calls
-- within the budget.
CREATE TABLE ai_budgets (
    organization_id   uuid NOT NULL,
    month             date NOT NULL CHECK (extract(day FROM month) = 1),
    spent_nano_inr    bigint NOT NULL DEFAULT 0 CHECK (spent_nano_inr >= 0),
    reserved_nano_inr bigint NOT NULL DEFAULT 0 CHECK (reserved_nano_inr >= 0),
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, month)
);
ALTER TABLE ai_budgets ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ai_budgets TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON ai_budgets TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON ai_budgets TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_budgets TO payaid_system;

-- What is set aside for one call. A row that outlives its call belongs to a process that died: nobody knows
-- what the provider has billed, so it counts as spent, in full.
CREATE TABLE ai_reservations (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    month           date NOT NULL,
    job_id          uuid NOT NULL,
    nano_inr        bigint NOT NULL CHECK (nano_inr >= 0),
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX idx_ai_reservations_created ON ai_reservations (created_at);
ALTER TABLE ai_reservations ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ai_reservations TO payaid_app USING (organization_id = current_organization());
CREATE POLICY system ON ai_reservations TO payaid_system USING (true) WITH CHECK (true);
GRANT SELECT ON ai_reservations TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_reservations TO payaid_system;

-- +goose Down
DROP TABLE ai_reservations;
DROP TABLE ai_budgets;
