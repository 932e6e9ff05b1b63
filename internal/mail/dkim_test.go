package mail

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
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
// and a relay behind it.
func TestSignaturesVerify(t *testing.T) {
	t.Parallel()
	signer := localstack.NewOpenDKIM(t, localstack.OpenDKIMOptions{Headers: signHeaders, Canonicalization: "simple/simple"})
	mails := composeCorpus(t)
	for _, got := range signed(t, signer, mails...) {
		i := slices.IndexFunc(mails, func(b []byte) bool { return bytes.HasSuffix(got, b) })
		if i < 0 {
			t.Errorf("something changed on the way:\n%.3000s", got)
			continue
		}
		if fault := signatureFault(signer, got); fault != "" {
			t.Errorf("%s: %s:\n%.3000s", corpus[i].name, fault, got)
		}
	}
}

// TestSignaturesThatLackAHeader: the check above sees what owners see who leave OpenDKIM's configuration as it comes,
// or as mail servers bring it along.
func TestSignaturesThatLackAHeader(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]localstack.OpenDKIMOptions{
		"Message-Id, List-Unsubscribe-Post aren't signed": {},
		"Date, Message-Id, List-Unsubscribe aren't signed": {Headers: signHeaders,
			OmitHeaders: []string{"Return-Path", "Received", "Message-ID", "Date", "List-Unsubscribe"}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			signer := localstack.NewOpenDKIM(t, o)
			for _, got := range signed(t, signer, composeCorpus(t)[0]) {
				if fault := signatureFault(signer, got); fault != want {
					t.Errorf("the fault is %q, want %q", fault, want)
				}
				if fault := signatureFault(signer, bytes.Replace(got, []byte("Dear"), []byte("Poor"), 1)); !strings.Contains(fault, "body hash") {
					t.Errorf("of a changed body the fault is %q", fault)
				}
			}
		})
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
	if found[0].Domain == "" {
		return "of no domain"
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

// signed submits mails to a Postfix that has them signed, and gives what comes out behind it, in any order.
func signed(t *testing.T, signer *localstack.OpenDKIM, mails ...[]byte) [][]byte {
	t.Helper()
	d := newMaildrop(t)
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	postfix := localstack.NewPostfix(t, localstack.PostfixOptions{
		Transports: map[string]string{"/./": "smtp:[127.0.0.1]:" + port},
		Settings:   map[string]string{"smtpd_milters": signer.Milter(), "milter_default_action": "tempfail"},
	})
	const atOnce = 4 // a signature takes a tenth of a second, mostly of waiting
	var submitting sync.WaitGroup
	for share := range slices.Chunk(mails, (len(mails)+atOnce-1)/atOnce) {
		submitting.Go(func() {
			if err := submit(net.JoinHostPort("127.0.0.1", strconv.Itoa(postfix.Plain())), share...); err != nil {
				t.Error(err)
			}
		})
	}
	submitting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	out := make([][]byte, len(mails))
	for i := range out {
		out[i] = d.next(t)
	}
	return out
}
