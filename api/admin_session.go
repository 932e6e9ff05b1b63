package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// Sessions of the pages end after a working day, or an hour without a request.
var sessionBounds = store.SessionBounds{Most: 12 * time.Hour, Idle: time.Hour}

const (
	sessionTokenBytes = 32
	mostUserAgent     = 500
)

// ErrNoSession means that a token opens no session: it never did, or the session or its key has ended.
var ErrNoSession = errors.New("not signed in")

// SignIn begins a session for who holds the key of an operator. Another key, or one that may not be used from that
// address, is an *Error.
func (s *Server) SignIn(ctx context.Context, key string, from netip.Addr, userAgent string) (token string, o Operator, err error) {
	c, err := s.callerOf(ctx, "Bearer "+key, from)
	if err != nil {
		return "", o, err
	}
	if c.scopes&(admin|adminRead) == 0 {
		return "", o, refuse("forbidden", "this is a key of a client; signing in needs one with the scope admin, or admin_read to look only")
	}
	secret := make([]byte, sessionTokenBytes)
	_, _ = rand.Read(secret) // it never fails
	token = base64.RawURLEncoding.EncodeToString(secret)
	keyHash := sha256.Sum256([]byte(c.secret))
	row := store.AdminSession{KeyHash: keyHash[:], KeyID: c.KeyID, Role: roleOf(c.scopes), UserAgent: cutText(userAgent, mostUserAgent)}
	err = s.DB.AsOperator(ctx, actTime, func(tx pgx.Tx) (err error) {
		if row, err = store.BeginAdminSession(ctx, tx, sha256.Sum256([]byte(token)), c.OrganizationID, row, from); err != nil {
			return err
		}
		o = Operator{KeyID: c.KeyID, KeyName: row.KeyName, OrganizationID: c.OrganizationID, Role: row.Role, SessionID: row.ID, Address: from}
		return s.noteSession(ctx, tx, o, "session.begin")
	})
	return token, o, err
}

// Session finds who a token belongs to. It is ErrNoSession for one that opens nothing, and something else when the
// database can't be asked.
func (s *Server) Session(ctx context.Context, token string, from netip.Addr) (Operator, error) {
	row, err := inTime(ctx, func(ctx context.Context) (store.AdminSession, error) {
		return s.DB.ReadAdminSession(ctx, sha256.Sum256([]byte(token)), sessionBounds)
	})
	if errors.Is(err, store.ErrNotFound) {
		return Operator{}, ErrNoSession
	}
	if err != nil {
		return Operator{}, err
	}
	o := Operator{KeyID: row.KeyID, KeyName: row.KeyName, SessionID: row.ID, Address: from}
	if s.adminKey != nil && subtle.ConstantTimeCompare(row.KeyHash, s.adminKey[:]) == 1 {
		o.OrganizationID, o.Role = store.OperatorOrganization, store.RoleAdmin
		return o, nil
	}
	// What the key may do is asked anew: it may have been revoked, and may not be used from everywhere.
	found, err := s.lookUp(ctx, [sha256.Size]byte(row.KeyHash))
	if errors.Is(err, store.ErrNotFound) {
		return Operator{}, ErrNoSession
	}
	if err != nil {
		return Operator{}, err
	}
	if !found.allows(from) || found.scopes&(admin|adminRead) == 0 {
		return Operator{}, ErrNoSession
	}
	o.OrganizationID, o.Role = found.OrganizationID, roleOf(found.scopes)
	return o, nil
}

// SignOut ends a session for good.
func (s *Server) SignOut(ctx context.Context, o Operator) error {
	return s.DB.AsOperator(ctx, actTime, func(tx pgx.Tx) error {
		if _, err := store.EndAdminSession(ctx, tx, o.SessionID); errors.Is(err, store.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		return s.noteSession(ctx, tx, o, "session.end")
	})
}

func (s *Server) noteSession(ctx context.Context, tx pgx.Tx, o Operator, action string) error {
	e := store.AuditEntry{KeyID: o.KeyID, Role: o.Role, SessionID: &o.SessionID, Action: action, Target: "session", TargetID: o.SessionID,
		Outcome: store.AuditDone}
	if o.Address.IsValid() {
		e.Address = orNull(o.Address.String())
	}
	if x := exchangeOf(ctx); x != nil {
		e.RequestID = &x.id
	}
	return store.Audit(ctx, tx, o.OrganizationID, e)
}

// cutText is the beginning of a text that came from outside, as Postgres takes it.
func cutText(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

func roleOf(s scopes) string {
	if s&admin != 0 {
		return store.RoleAdmin
	}
	return store.RoleReadOnly
}
