package operator

import "time"

// A Session is somebody who has signed in to the pages.
type Session struct {
	ID        string    `json:"id"`
	KeyID     string    `json:"key_id" doc:"admin is the key of the configuration"`
	KeyName   string    `json:"key_name"`
	Role      string    `json:"role" enum:"admin,read_only"`
	Address   string    `json:"address"`
	UserAgent string    `json:"user_agent"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at" doc:"To the minute"`
	EndsAt    time.Time `json:"ends_at" doc:"At the latest; an hour without a request ends it too"`
	Own       bool      `json:"own" doc:"It is the one that asks"`
}

// Sessions are those that are open, last used first, 200 at most.
type Sessions struct {
	Data []Session `json:"data"`
}
