package mail

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/payaid/payaid/internal/localstack"
)

// mustBeSigned is what a receiver goes by; without the last two it shows no button to unsubscribe (RFC 8058, 4).
var mustBeSigned = []string{"From", "To", "Subject", "Date", "Message-Id", "List-Unsubscribe", "List-Unsubscribe-Post"}

// signHeaders is what an owner of OpenDKIM must add to its configuration, as SignHeaders; List-Unsubscribe is among
// its own, and Message-ID and List-Unsubscribe-Post aren't. A line OmitHeaders that has one of them must lose it.
var signHeaders = []string{"*", "+Message-ID", "+List-Unsubscribe", "+List-Unsubscribe-Post"}

// TestSignaturesVerify sends all hard cases through a Postfix whose OpenDKIM signs them so that no byte may change,
// and on to another server. Then it sees what owners see who leave OpenDKIM's configuration as it comes, or as mail
// servers bring it along.
func TestSignaturesVerify(t *testing.T) {
	t.Parallel()
	signer := localstack.NewOpenDKIM(t, localstack.OpenDKIMOptions{Headers: signHeaders, Canonicalization: "simple/simple"})
	server := newSigningServer(t, signer)
	mails := composeCorpus(t)
	for _, got := range server.relay(t, mails...) {
		i := slices.IndexFunc(mails, func(b []byte) bool { return bytes.HasSuffix(got, b) })
		if i < 0 {
			t.Errorf("something changed on the way:\n%.3000s", got)
			continue
		}
		if fault := signatureFault(signer, got); fault != "" {
			t.Errorf("%s: %s:\n%.3000s", corpus[i].name, fault, got)
		}
	}

	for want, o := range map[string]localstack.OpenDKIMOptions{
		"Message-Id, List-Unsubscribe-Post aren't signed": {},
		"Date, Message-Id, List-Unsubscribe aren't signed": {Headers: signHeaders,
			OmitHeaders: []string{"Return-Path", "Received", "Message-ID", "Date", "List-Unsubscribe"}},
	} {
		if err := signer.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.Port = signer.Port()
		signer = localstack.NewOpenDKIM(t, o)
		got := server.relay(t, mails[0])[0]
		if fault := signatureFault(signer, got); fault != want {
			t.Errorf("the fault is %q, want %q", fault, want)
		}
		changed := bytes.Replace(got, []byte("Dear"), []byte("Poor"), 1)
		if fault := signatureFault(signer, changed); !strings.Contains(fault, "body hash") {
			t.Errorf("of a changed body the fault is %q", fault)
		}
	}
}

// signatureFault says why a receiver wouldn't go by the mail's signature.
func signatureFault(signer *localstack.OpenDKIM, mail []byte) string {
	found, err := dkim.VerifyWithOptions(bytes.NewReader(mail), &dkim.VerifyOptions{LookupTXT: signer.LookupTXT})
	if err != nil || len(found) != 1 {
		return fmt.Sprintf("%d signatures, %v", len(found), err)
	}
	if found[0].Err != nil {
		return found[0].Err.Error()
	}
	if !bytes.Contains(mail, []byte("@"+found[0].Domain)) {
		return "of " + found[0].Domain + ", which isn't the sender's domain"
	}
	var lacks []string
	for _, name := range mustBeSigned {
		if !slices.ContainsFunc(found[0].HeaderKeys, func(k string) bool { return strings.EqualFold(k, name) }) {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) > 0 {
		return strings.Join(lacks, ", ") + " aren't signed"
	}
	return ""
}

// A signingServer is a Postfix that has mail signed and hands it on to a maildrop.
type signingServer struct {
	addr string
	out  *maildrop
}

func newSigningServer(t *testing.T, signer *localstack.OpenDKIM) signingServer {
	t.Helper()
	out := newMaildrop(t)
	_, port, err := net.SplitHostPort(out.addr)
	if err != nil {
		t.Fatal(err)
	}
	postfix := localstack.NewPostfix(t, localstack.PostfixOptions{
		Transports: map[string]string{"/./": "smtp:[127.0.0.1]:" + port},
		Settings:   map[string]string{"smtpd_milters": signer.Milter(), "milter_default_action": "tempfail"},
	})
	return signingServer{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(postfix.Plain())), out: out}
}

// relay gives what comes out of the server, in any order.
func (s signingServer) relay(t *testing.T, mails ...[]byte) [][]byte {
	t.Helper()
	const atOnce = 4 // a signature takes a tenth of a second, mostly of waiting
	errs := make(chan error, atOnce)
	shares := slices.Collect(slices.Chunk(mails, (len(mails)+atOnce-1)/atOnce))
	for _, share := range shares {
		go func() { errs <- submit(s.addr, share...) }()
	}
	var all error
	for range shares {
		all = errors.Join(all, <-errs)
	}
	if all != nil {
		t.Fatal(all)
	}
	out := make([][]byte, len(mails))
	for i := range out {
		out[i] = s.out.next(t)
	}
	return out
}
