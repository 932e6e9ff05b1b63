-- +goose Up

-- Trusted extensions: the owner of the database may make them. Search needs trigrams, and an index that
-- has the organization beside them.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- The last character of a GSTIN is a checksum of the others: digits of base 36, every second one doubled,
-- quotient and remainder by 36 added up.
-- +goose StatementBegin
CREATE FUNCTION gstin_is_valid(gstin text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT gstin ~ '^[0-9]{2}[0-9A-Z]{13}$' AND right(gstin, 1) = substr(digits, (36 - sum % 36) % 36 + 1, 1)
    FROM (SELECT '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ' AS digits) d,
    LATERAL (
        SELECT sum(product / 36 + product % 36)::integer AS sum
        FROM (SELECT (strpos(digits, substr(gstin, i, 1)) - 1) * (2 - i % 2) AS product FROM generate_series(1, 14) i) p
    ) s
$$;
-- +goose StatementEnd

-- Organizations from before the checksum was asked for keep what they have until they change it.
ALTER TABLE organizations ADD CONSTRAINT organizations_gstin_valid CHECK (gstin_is_valid(gstin)) NOT VALID;

CREATE TABLE contacts (
    organization_id   uuid NOT NULL REFERENCES organizations,
    id                uuid NOT NULL,
    name              text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email             text CHECK (length(email) BETWEEN 3 AND 254),
    phone             text CHECK (length(phone) BETWEEN 3 AND 32),
    company           text CHECK (length(company) BETWEEN 1 AND 200),
    type              text NOT NULL DEFAULT 'lead' CHECK (type IN ('lead', 'customer', 'vendor', 'employee')),
    stage             text NOT NULL DEFAULT 'prospect' CHECK (stage IN ('prospect', 'contact', 'customer')),
    status            text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'lost')),
    source            text CHECK (length(source) BETWEEN 1 AND 100),
    gstin             text CHECK (gstin_is_valid(gstin)),
    city              text CHECK (length(city) BETWEEN 1 AND 100),
    state             text CHECK (length(state) BETWEEN 1 AND 64),
    lead_score        smallint CHECK (lead_score BETWEEN 0 AND 100),
    tags              text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 50),
    notes             text CHECK (length(notes) <= 10000),
    last_contacted_at timestamptz,
    next_follow_up    timestamptz,
    version           bigint NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    -- What a search looks through: words in lower case, and the digits of the phone number.
    search            text NOT NULL GENERATED ALWAYS AS (
        lower(name || ' ' || coalesce(email, '') || ' ' || coalesce(company, ''))
        || ' ' || regexp_replace(coalesce(phone, ''), '[^0-9]', '', 'g')) STORED,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE deals (
    organization_id     uuid NOT NULL REFERENCES organizations,
    id                  uuid NOT NULL,
    contact_id          uuid NOT NULL,
    title               text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    value               bigint NOT NULL CHECK (value BETWEEN 0 AND 9007199254740991), -- paise
    currency            text NOT NULL DEFAULT 'INR' CHECK (currency ~ '^[A-Z]{3}$'),
    stage               text NOT NULL DEFAULT 'lead'
                            CHECK (stage IN ('lead', 'qualified', 'proposal', 'negotiation', 'won', 'lost')),
    status              text NOT NULL GENERATED ALWAYS AS (
                            CASE WHEN stage IN ('won', 'lost') THEN stage ELSE 'open' END) STORED,
    closed              boolean NOT NULL GENERATED ALWAYS AS (stage IN ('won', 'lost')) STORED,
    probability         smallint NOT NULL CHECK (probability BETWEEN 0 AND 100),
    expected_close_date date,
    lost_reason         text CHECK (length(lost_reason) BETWEEN 1 AND 1000),
    stage_changed_at    timestamptz NOT NULL DEFAULT now(),
    closed_at           timestamptz,
    version             bigint NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, contact_id) REFERENCES contacts,
    CHECK ((stage IN ('won', 'lost')) = (closed_at IS NOT NULL)),
    CHECK (lost_reason IS NULL OR stage = 'lost'),
    CHECK (stage <> 'won' OR probability = 100),
    CHECK (stage <> 'lost' OR probability = 0)
);

-- A deal that is won stays won; a lost one may be taken up again, and then be won or lost anew.
-- +goose StatementBegin
CREATE FUNCTION deals_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.stage = 'won' AND NEW.stage <> 'won' OR OLD.stage = 'lost' AND NEW.stage = 'won' THEN
        RAISE EXCEPTION 'a deal does not go from % to %', OLD.stage, NEW.stage
            USING ERRCODE = 'check_violation', CONSTRAINT = 'deals_transition';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER deals_guard BEFORE UPDATE OF stage ON deals FOR EACH ROW EXECUTE FUNCTION deals_guard();

CREATE TABLE invoices (
    organization_id      uuid NOT NULL REFERENCES organizations,
    id                   uuid NOT NULL,
    contact_id           uuid NOT NULL,
    status               text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'sent', 'paid', 'overdue', 'cancelled')),
    unpaid               boolean NOT NULL GENERATED ALWAYS AS (status IN ('sent', 'overdue')) STORED,
    -- The number is given when the invoice is sent: within an organization and a financial year, named by
    -- the calendar year in whose April it begins, without gaps.
    financial_year       smallint,
    sequence             integer CHECK (sequence > 0),
    number               text CHECK (length(number) BETWEEN 1 AND 16), -- rule 46(b) of the CGST Rules allows no more
    place_of_supply      text NOT NULL CHECK (length(place_of_supply) BETWEEN 1 AND 64), -- as the client wrote it
    place_of_supply_code text NOT NULL CHECK (place_of_supply_code ~ '^[0-9]{2}$'),     -- GST's code of that state
    inter_state          boolean NOT NULL,
    issue_date           date NOT NULL,
    due_date             date NOT NULL,
    notes                text CHECK (length(notes) <= 10000),
    currency             text NOT NULL DEFAULT 'INR' CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal             bigint NOT NULL CHECK (subtotal >= 0), -- paise, as all that follow
    cgst                 bigint NOT NULL CHECK (cgst >= 0),
    sgst                 bigint NOT NULL CHECK (sgst >= 0),
    igst                 bigint NOT NULL CHECK (igst >= 0),
    total                bigint NOT NULL CHECK (total BETWEEN 0 AND 9007199254740991),
    amount_paid          bigint NOT NULL DEFAULT 0,
    amount_due           bigint NOT NULL GENERATED ALWAYS AS (total - amount_paid) STORED,
    -- Who sold and who bought, as they were when the invoice was sent.
    supplier             jsonb CHECK (jsonb_typeof(supplier) = 'object'),
    customer             jsonb CHECK (jsonb_typeof(customer) = 'object'),
    sent_at              timestamptz,
    paid_at              timestamptz,
    cancelled_at         timestamptz,
    version              bigint NOT NULL DEFAULT 1,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, contact_id) REFERENCES contacts,
    UNIQUE (organization_id, number),
    UNIQUE (organization_id, financial_year, sequence),
    CHECK (due_date >= issue_date),
    CHECK (total = subtotal + cgst + sgst + igst),
    CHECK (CASE WHEN inter_state THEN cgst = 0 AND sgst = 0 ELSE igst = 0 AND cgst = sgst END),
    CHECK (amount_paid BETWEEN 0 AND total),
    CHECK (num_nulls(financial_year, sequence, number) IN (0, 3)),
    CHECK (CASE status WHEN 'draft' THEN num_nonnulls(number, sent_at, paid_at, cancelled_at, supplier, customer) = 0
                       WHEN 'cancelled' THEN cancelled_at IS NOT NULL AND paid_at IS NULL AND amount_paid = 0
                       ELSE num_nulls(number, sent_at, supplier, customer) = 0 AND cancelled_at IS NULL END),
    CHECK (CASE status WHEN 'paid' THEN amount_paid = total AND paid_at IS NOT NULL
                       WHEN 'draft' THEN amount_paid = 0
                       ELSE paid_at IS NULL END),
    CHECK (status NOT IN ('sent', 'overdue') OR amount_paid < total)
);

CREATE TABLE invoice_items (
    organization_id uuid NOT NULL,
    invoice_id      uuid NOT NULL,
    position        smallint NOT NULL CHECK (position > 0),
    description     text NOT NULL CHECK (length(description) BETWEEN 1 AND 500),
    hsn_sac         text CHECK (hsn_sac ~ '^([0-9]{4}|[0-9]{6}|[0-9]{8})$'),
    quantity        numeric(14, 3) NOT NULL CHECK (quantity > 0),
    unit_price      bigint NOT NULL CHECK (unit_price >= 0), -- paise, as all amounts
    gst_rate        integer NOT NULL CHECK (gst_rate BETWEEN 0 AND 10000), -- hundredths of a per cent
    amount          bigint NOT NULL,
    cgst            bigint NOT NULL CHECK (cgst >= 0),
    sgst            bigint NOT NULL CHECK (sgst = cgst),
    igst            bigint NOT NULL CHECK (igst >= 0 AND (igst = 0 OR cgst = 0)),
    total           bigint NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, invoice_id, position),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices ON DELETE CASCADE,
    -- numeric rounds a half away from zero, which is upwards here.
    CHECK (amount = round(quantity * unit_price)),
    CHECK (total = amount + cgst + sgst + igst)
);

CREATE TABLE payments (
    organization_id uuid NOT NULL,
    id              uuid NOT NULL,
    invoice_id      uuid NOT NULL,
    amount          bigint NOT NULL CHECK (amount > 0), -- paise
    method          text CHECK (length(method) BETWEEN 1 AND 50),
    reference       text CHECK (length(reference) BETWEEN 1 AND 100),
    paid_at         timestamptz NOT NULL,
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoices
);

-- The last number given in a financial year. Its row lock is what makes senders queue up.
CREATE TABLE invoice_counters (
    organization_id uuid NOT NULL REFERENCES organizations,
    financial_year  smallint NOT NULL,
    last            integer NOT NULL CHECK (last > 0),
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, financial_year)
);

-- What an invoice says is fixed when it is sent, and its states go one way: draft, sent, overdue (and back,
-- when the due date is put off), paid; or cancelled, from any of them in which nothing was paid.
-- +goose StatementBegin
CREATE FUNCTION invoices_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sums record;
BEGIN
    IF NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) NOT IN (
        'draft>sent', 'draft>cancelled', 'sent>overdue', 'overdue>sent', 'sent>paid', 'overdue>paid',
        'sent>cancelled', 'overdue>cancelled') THEN
        RAISE EXCEPTION 'an invoice does not go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_transition';
    END IF;
    IF NEW.amount_paid < OLD.amount_paid OR OLD.status <> 'draft' AND
        (NEW.number, NEW.contact_id, NEW.issue_date, NEW.place_of_supply_code, NEW.inter_state,
         NEW.subtotal, NEW.cgst, NEW.sgst, NEW.igst, NEW.total, NEW.currency, NEW.supplier, NEW.customer)
        IS DISTINCT FROM
        (OLD.number, OLD.contact_id, OLD.issue_date, OLD.place_of_supply_code, OLD.inter_state,
         OLD.subtotal, OLD.cgst, OLD.sgst, OLD.igst, OLD.total, OLD.currency, OLD.supplier, OLD.customer) THEN
        RAISE EXCEPTION 'what a sent invoice says can not be changed'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_fixed';
    END IF;
    IF OLD.status = 'draft' AND NEW.status = 'sent' THEN
        SELECT coalesce(sum(amount), 0) AS subtotal, coalesce(sum(cgst), 0) AS cgst, coalesce(sum(igst), 0) AS igst
        INTO sums FROM invoice_items WHERE organization_id = NEW.organization_id AND invoice_id = NEW.id;
        IF (sums.subtotal, sums.cgst, sums.igst) IS DISTINCT FROM (NEW.subtotal::numeric, NEW.cgst::numeric, NEW.igst::numeric) THEN
            RAISE EXCEPTION 'the sums of an invoice are not those of its items'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_sums';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER invoices_guard BEFORE UPDATE ON invoices FOR EACH ROW EXECUTE FUNCTION invoices_guard();

-- Only drafts are deleted: a number that was given stays, and its invoice is cancelled instead. Deleting the
-- organization's last trace of it would leave a gap.
-- +goose StatementBegin
CREATE FUNCTION invoices_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number IS NOT NULL THEN
        RAISE EXCEPTION 'an invoice with a number can not be deleted'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_keep';
    END IF;
    RETURN OLD;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER invoices_keep BEFORE DELETE ON invoices FOR EACH ROW EXECUTE FUNCTION invoices_keep();

-- Items change with their draft only.
-- +goose StatementBegin
CREATE FUNCTION invoice_items_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    item invoice_items := coalesce(NEW, OLD);
BEGIN
    IF EXISTS (SELECT FROM invoices WHERE organization_id = item.organization_id AND id = item.invoice_id AND status <> 'draft') THEN
        RAISE EXCEPTION 'the items of a sent invoice can not be changed'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'invoices_fixed';
    END IF;
    RETURN item;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER invoice_items_guard BEFORE UPDATE OR DELETE ON invoice_items FOR EACH ROW EXECUTE FUNCTION invoice_items_guard();

-- +goose StatementBegin
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['contacts', 'deals', 'invoices', 'invoice_items', 'payments', 'invoice_counters'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO payaid_app USING (organization_id = current_organization())
                        WITH CHECK (organization_id = current_organization())', t);
        EXECUTE format('CREATE POLICY system ON %I TO payaid_system USING (true) WITH CHECK (true)', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
GRANT SELECT, INSERT, UPDATE, DELETE ON contacts, deals, invoices, invoice_items TO payaid_app, payaid_system;
GRANT SELECT, INSERT ON payments TO payaid_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON payments TO payaid_system;
GRANT SELECT, INSERT, UPDATE ON invoice_counters TO payaid_app, payaid_system;

-- Lists go newest first by id; the primary keys serve the plain ones. The tables are new and empty, so
-- these indexes are made at once. Those that the operators' guide names come in files of their own.
CREATE INDEX idx_contacts_org_status_newest ON contacts (organization_id, status, id);
CREATE INDEX idx_contacts_search ON contacts USING gin (organization_id, search gin_trgm_ops);
CREATE INDEX idx_deals_org_contact ON deals (organization_id, contact_id, closed, id);
CREATE INDEX idx_deals_org_stage_newest ON deals (organization_id, stage, id);
CREATE INDEX idx_deals_org_status_newest ON deals (organization_id, status, id);
CREATE INDEX idx_deals_title ON deals USING gin (organization_id, lower(title) gin_trgm_ops);
CREATE INDEX idx_invoices_org_contact ON invoices (organization_id, contact_id, unpaid, id);
CREATE INDEX idx_invoices_org_status_newest ON invoices (organization_id, status, id);
CREATE INDEX idx_payments_org_invoice ON payments (organization_id, invoice_id);
CREATE INDEX idx_payments_org_paid_at ON payments (organization_id, paid_at) INCLUDE (amount);
-- The one question over all organizations: whose due date has passed?
CREATE INDEX idx_invoices_due ON invoices (due_date) WHERE status = 'sent';

-- +goose Down
DROP TABLE invoice_counters;
DROP TABLE payments;
DROP TABLE invoice_items;
DROP TABLE invoices;
DROP TABLE deals;
DROP TABLE contacts;
DROP FUNCTION invoice_items_guard();
DROP FUNCTION invoices_keep();
DROP FUNCTION invoices_guard();
DROP FUNCTION deals_guard();
ALTER TABLE organizations DROP CONSTRAINT organizations_gstin_valid;
DROP FUNCTION gstin_is_valid(text);
-- The extensions stay: something else in the database may use them.
