package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// scopes is a set of what a key may do.
type scopes uint8

const (
	read scopes = 1 << iota
	write
	jobs
	admin
	adminRead // what admin may see, and nothing else

	public     scopes = 0
	everything        = read | write | jobs | admin | adminRead
)

var scopeNames = []string{"read", "write", "jobs", "admin", "admin_read"}

func scopesOf(names []string) scopes {
	var s scopes
	for _, name := range names {
		for i, known := range scopeNames {
			if name == known {
				s |= 1 << i
			}
		}
	}
	if s&admin != 0 {
		return everything
	}
	return s
}

// String lists the scopes, any of which will do.
func (s scopes) String() string {
	var names []string
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// A caller is who asks.
type caller struct {
	OrganizationID string
	KeyID          string
	scopes         scopes
	rateLimit      int         // requests in a window; 0: the default
	bounds         *credential // of the key; nil: the operator's, which has none
	session        string      // of who signed in to the pages, "" for a key
	secret         string      // the bearer text; answers kept for a repeat are sealed with it
}

const adminKeyID = "admin"

// authenticate finds out who asks and whether they may use the route.
func (s *Server) authenticate(x *exchange, rt route, r *http.Request) error {
	if x.inside != nil {
		x.caller = x.inside.caller()
		if rt.scopes != public && x.caller.scopes&rt.scopes == 0 {
			return forbidden(rt.scopes)
		}
		return nil
	}
	header := r.Header.Get("Authorization")
	if rt.scopes == public && (header == "" || rt.path != "/api/system/health") {
		return nil
	}
	c, err := s.callerOf(r.Context(), header, x.from)
	if err != nil {
		if rt.scopes == public && unavailable(err) {
			return nil // health is told to strangers too
		}
		return err
	}
	x.caller = c
	if rt.scopes != public && c.scopes&rt.scopes == 0 {
		return forbidden(rt.scopes)
	}
	return nil
}

func forbidden(needed scopes) error {
	return refuse("forbidden", "this needs a key with the scope "+needed.String())
}

func unauthorized(detail string) error {
	return refuse("unauthorized", detail).with("WWW-Authenticate", `Bearer realm="payaid"`)
}

func isUnauthorized(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "unauthorized"
}

func (s *Server) callerOf(ctx context.Context, header string, from netip.Addr) (caller, error) {
	scheme, secret, _ := strings.Cut(header, " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return caller{}, unauthorized("send a key as Authorization: Bearer pay_…")
	}
	hash := sha256.Sum256([]byte(secret))
	if s.adminKey != nil && subtle.ConstantTimeCompare(hash[:], s.adminKey[:]) == 1 {
		return caller{OrganizationID: store.OperatorOrganization, KeyID: adminKeyID, scopes: everything, secret: secret}, nil
	}
	if !wellFormedKey(secret) {
		return caller{}, unauthorized("this is not the text of a key; was it cut or mistyped?")
	}
	found, err := s.lookUp(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		return caller{}, unauthorized("the key is unknown, expired or revoked")
	}
	if err != nil {
		return caller{}, err
	}
	if !found.allows(from) {
		return caller{}, refuse("forbidden", "the key may not be used from this address")
	}
	s.touches.touch(found.OrganizationID, found.KeyID)
	c := caller{OrganizationID: found.OrganizationID, KeyID: found.KeyID, scopes: found.scopes, bounds: found, secret: secret}
	if found.RateLimit != nil {
		c.rateLimit = *found.RateLimit
	}
	return c, nil
}

// lookUp asks the cache, then the database.
func (s *Server) lookUp(ctx context.Context, hash [32]byte) (*credential, error) {
	found, known, epoch := s.keys.get(hash, time.Now())
	if known && found == nil {
		return nil, store.ErrNotFound
	}
	if known {
		return found, nil
	}
	c, err := s.DB.Authenticate(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		s.keys.put(hash, nil, epoch, time.Now())
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	found = newCredential(c)
	s.keys.put(hash, found, epoch, time.Now())
	return found, nil
}

// A credential is a looked-up key in the form that requests are checked against.
type credential struct {
	store.Credential
	scopes   scopes
	networks []netip.Prefix
}

func newCredential(c store.Credential) *credential {
	made := &credential{Credential: c, scopes: scopesOf(c.Scopes)}
	for _, text := range c.IPAllow {
		// What can't be read was never let in by this API; it allows nobody.
		if p, err := ParseNetwork(text); err == nil {
			made.networks = append(made.networks, p)
		}
	}
	return made
}

// allows reports whether the key may be used from an address.
func (c *credential) allows(from netip.Addr) bool {
	return len(c.IPAllow) == 0 || contains(c.networks, from)
}

// covers reports whether the key may be used from everywhere in a network.
func (c *credential) covers(p netip.Prefix) bool {
	return slices.ContainsFunc(c.networks, func(mine netip.Prefix) bool {
		return mine.Bits() <= p.Bits() && mine.Contains(p.Addr())
	})
}
