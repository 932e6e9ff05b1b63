// Package ticket makes references to a recipient of a mail that only this installation can make: for return paths,
// so that outsiders can't forge bounces, and for links in mails that act without a login.
package ticket

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// A Ref is one recipient of a mail. Its organization is empty in a reference that came back as a return path,
// which has no room for it.
type Ref struct {
	OrganizationID string
	MessageID      string
	Recipient      int // from 1
}

// ErrForged means that a ticket was not made here, or not for this purpose.
var ErrForged = errors.New("the ticket was not made by this installation")

// A Maker makes tickets and reads them. Its methods may be called at the same time.
type Maker struct {
	load func(context.Context) ([]byte, error)

	mu  sync.Mutex
	key []byte
}

// NewMaker gives a maker whose key is loaded when it is first needed, and kept.
func NewMaker(load func(context.Context) ([]byte, error)) *Maker { return &Maker{load: load} }

// What a ticket is for goes into its signature: one can't stand for the other.
const (
	forReturnPath  = "return path v1"
	forUnsubscribe = "unsubscribe v1"
)

// 80 bits can't be guessed at a mail server's pace, and a return path has 64 characters before its @.
const returnPathMAC = 10

// lower is for addresses, which servers may write in other capitals.
var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ReturnPath is a ticket of 45 letters and digits, for the extension of a return path.
func (m *Maker) ReturnPath(ctx context.Context, r Ref) (string, error) {
	body, err := r.message()
	if err != nil {
		return "", err
	}
	mac, err := m.sign(ctx, forReturnPath, body)
	if err != nil {
		return "", err
	}
	return lower.EncodeToString(append(body, mac[:returnPathMAC]...)), nil
}

// OfReturnPath reads what ReturnPath made; ErrForged for anything else.
func (m *Maker) OfReturnPath(ctx context.Context, ticket string) (Ref, error) {
	raw, err := lower.DecodeString(strings.ToLower(ticket))
	if err != nil || len(raw) != messageSize+returnPathMAC {
		return Ref{}, ErrForged
	}
	body := raw[:messageSize]
	if err := m.verify(ctx, forReturnPath, body, raw[messageSize:]); err != nil {
		return Ref{}, err
	}
	return refOf(body), nil
}

// Unsubscribe is a ticket for a link: letters, digits, - and _.
func (m *Maker) Unsubscribe(ctx context.Context, r Ref) (string, error) {
	body, err := r.message()
	if err != nil {
		return "", err
	}
	organization, err := uuid.Parse(r.OrganizationID)
	if err != nil {
		return "", err
	}
	body = append(body, organization[:]...)
	mac, err := m.sign(ctx, forUnsubscribe, body)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(body, mac[:16]...)), nil
}

// OfUnsubscribe reads what Unsubscribe made; ErrForged for anything else.
func (m *Maker) OfUnsubscribe(ctx context.Context, ticket string) (Ref, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	// The decoder skips line breaks, strict or not.
	if err != nil || len(raw) != messageSize+16+16 || strings.ContainsAny(ticket, "\r\n") {
		return Ref{}, ErrForged
	}
	body := raw[:messageSize+16]
	if err := m.verify(ctx, forUnsubscribe, body, raw[len(body):]); err != nil {
		return Ref{}, err
	}
	r := refOf(body)
	r.OrganizationID = uuid.UUID(body[messageSize:]).String()
	return r, nil
}

const messageSize = 16 + 2

func (r Ref) message() ([]byte, error) {
	id, err := uuid.Parse(r.MessageID)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint16(id[:], uint16(r.Recipient)), nil
}

func refOf(body []byte) Ref {
	return Ref{MessageID: uuid.UUID(body[:16]).String(), Recipient: int(binary.BigEndian.Uint16(body[16:messageSize]))}
}

func (m *Maker) sign(ctx context.Context, purpose string, body []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key == nil {
		key, err := m.load(ctx)
		if err != nil {
			return nil, err
		}
		m.key = key
	}
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(body)
	return h.Sum(nil), nil
}

func (m *Maker) verify(ctx context.Context, purpose string, body, mac []byte) error {
	want, err := m.sign(ctx, purpose, body)
	if err != nil {
		return err
	}
	if !hmac.Equal(want[:len(mac)], mac) {
		return ErrForged
	}
	return nil
}
