-- +goose Up

-- Questions to the operator's lists that were given a name. All operators share them.
CREATE TABLE admin_views (
    id         uuid PRIMARY KEY,
    page       text NOT NULL CHECK (page IN ('jobs')),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    query      text NOT NULL CHECK (length(query) <= 4000),
    created_by text NOT NULL CHECK (length(created_by) <= 200),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX idx_admin_views_page_name ON admin_views (page, lower(name));
GRANT SELECT, INSERT, DELETE ON admin_views TO payaid_system;

-- +goose Down
DROP TABLE admin_views;
