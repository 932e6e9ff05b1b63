package webhook_test

import (
	"crypto/hmac"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/webhook"
)

// blockOf gives the block of a language in the page about webhooks.
func blockOf(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/webhooks.md has %d blocks of %s, want 1", len(blocks), language)
	}
	return string(blocks[0][1])
}

// What a program is to make of the variables of its environment: end with 0 where the signature is right.
const (
	aroundGo = `package main

import ("crypto/hmac"; "crypto/sha256"; "encoding/base64"; "errors"; "fmt"; "net/http"; "os"; "strconv"; "strings"; "time")

func main() {
	body, err := os.ReadFile("body.json")
	h := http.Header{}
	h.Set("webhook-id", os.Getenv("ID"))
	h.Set("webhook-timestamp", os.Getenv("TIMESTAMP"))
	h.Set("webhook-signature", os.Getenv("SIGNATURE"))
	if err == nil {
		err = verify(os.Getenv("SECRET"), h, body)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

`
	behindJS = `
import { readFileSync } from "node:fs";
const e = process.env;
try {
  verify(e.SECRET, { "webhook-id": e.ID, "webhook-timestamp": e.TIMESTAMP, "webhook-signature": e.SIGNATURE }, readFileSync("body.json"));
} catch (wrong) { console.log(wrong.message); process.exit(1); }
`
	behindPython = `
import os, sys
e = os.environ
try:
    verify(e["SECRET"], {"webhook-id": e["ID"], "webhook-timestamp": e["TIMESTAMP"], "webhook-signature": e["SIGNATURE"]}, open("body.json", "rb").read())
except ValueError as wrong:
    print(wrong)
    sys.exit(1)
`
)

// A verifier is what a page shows, as a program.
type verifier struct {
	language, file string
	around, behind string
	command        []string
	build          []string // nil: nothing
	install        string   // what to do where the program isn't there
	timeless       bool     // leaves the time to its reader
}

var verifiers = []verifier{
	{language: "go", file: "main.go", around: aroundGo, command: []string{"./verify"}, build: []string{"go", "build", "-o", "verify", "main.go"}, install: "Go"},
	{language: "js", file: "verify.mjs", behind: behindJS, command: []string{"node", "verify.mjs"}, install: "apt-get install nodejs"},
	{language: "python", file: "verify.py", behind: behindPython, command: []string{"python3", "verify.py"}, install: "apt-get install python3"},
	{language: "sh", file: "verify.sh", command: []string{"sh", "verify.sh"}, install: "apt-get install openssl", timeless: true},
}

// TestWhatThePageShowsVerifies runs the programs of the page about webhooks on deliveries that are right and on others.
func TestWhatThePageShowsVerifies(t *testing.T) {
	t.Parallel()
	for _, v := range verifiers {
		t.Run(v.language, func(t *testing.T) {
			t.Parallel()
			v.try(t)
		})
	}
}

func (v verifier) try(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, v.file), v.around+blockOf(t, v.language)+v.behind)
	if v.build != nil {
		write(t, filepath.Join(dir, "go.mod"), "module verify\n\ngo 1.24\n")
		if out, err := v.run(dir, v.build); err != nil {
			t.Fatalf("build it: %v\n%s", err, out)
		}
	}
	secret, other := webhook.NewSecret(), webhook.NewSecret()
	const id, body = "019a4c1e-0000-7000-8000-000000000001", `{"specversion":"1.0","data":{"name":"आशा \"R\" %s"}}`
	now, old := time.Now(), time.Now().Add(-6*time.Minute)
	signed := func(at time.Time, secrets ...string) []string {
		signature, err := webhook.Sign(secrets, id, at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return []string{"SECRET=" + secret, "ID=" + id, "TIMESTAMP=" + strconv.FormatInt(at.Unix(), 10), "SIGNATURE=" + signature}
	}
	for _, c := range []struct {
		what, body string
		env        []string
		right      bool
	}{
		{"right", body, signed(now, secret), true},
		{"signed by two", body, signed(now, other, secret), true},
		{"of another secret", body, signed(now, other), false},
		{"of another body", body + " ", signed(now, secret), false},
		{"of another id", body, append(signed(now, secret), "ID=x"), false},
		{"of another time", body, append(signed(now, secret), "TIMESTAMP="+strconv.FormatInt(now.Unix()+1, 10)), false},
		{"without a signature", body, append(signed(now, secret), "SIGNATURE="), false},
		{"of another version", body, append(signed(now, secret), "SIGNATURE="+strings.Replace(signed(now, secret)[3][len("SIGNATURE="):], "v1,", "v2,", 1)), false},
		{"old", body, signed(old, secret), v.timeless},
	} {
		write(t, filepath.Join(dir, "body.json"), c.body)
		out, err := v.run(dir, v.command, c.env...)
		if (err == nil) != c.right {
			t.Errorf("%s, a delivery that is %s: %v %s", v.language, c.what, err, out)
		}
		if err != nil && len(out) == 0 {
			t.Errorf("%s, a delivery that is %s: %v, and it says nothing", v.language, c.what, err)
		}
	}
}

func (v verifier) run(dir string, command []string, env ...string) (string, error) {
	path, err := exec.LookPath(command[0])
	if strings.HasPrefix(command[0], "./") {
		path, err = command[0], nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, v.install)
	}
	cmd := exec.Command(path, command[1:]...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestThePageSaysWhatTheOldSignatureIs: receivers from before Standard Webhooks make it themselves.
func TestThePageSaysWhatTheOldSignatureIs(t *testing.T) {
	t.Parallel()
	secret, body := webhook.NewSecret(), `{"a":1}`
	cmd := exec.Command("openssl", "dgst", "-sha256", "-hmac", secret, "-hex")
	cmd.Stdin = strings.NewReader(body)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run openssl (apt-get install openssl): %v", err)
	}
	fields := strings.Fields(string(out))
	if got := webhook.SignBody(secret, []byte(body)); !hmac.Equal([]byte(got), []byte(fields[len(fields)-1])) {
		t.Errorf("got %s, openssl says %s", got, out)
	}
}

// Whoever reads a code in the log of a delivery finds it in the page.
func TestCodesAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{webhook.InvalidURL, webhook.InvalidSecret, webhook.RefusedAddress, webhook.DNS, webhook.Connect, webhook.TLS,
		webhook.Timeout, webhook.Protocol, webhook.Redirect, webhook.Gone, webhook.Status, webhook.Cancelled} {
		if !strings.Contains(string(page), "\n| `"+code+"` | ") {
			t.Errorf("docs/webhooks.md has no row of the code %s", code)
		}
	}
}
