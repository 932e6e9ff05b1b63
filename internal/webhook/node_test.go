package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// verdict is what a receiver in Node.js says of a request.
type verdict struct {
	Standard string // "ok", or why the library refused it
	Type     string // of the event that it took
	Original bool   // the original product's receivers take it
}

// nodeReceiver starts one, and gives its address.
func nodeReceiver(t *testing.T) string {
	t.Helper()
	node, modules := localstack.TestVerifier(t)
	cmd := exec.Command(node, "testdata/receiver.cjs")
	cmd.Env, cmd.Stderr = append(os.Environ(), "NODE_PATH="+modules), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	var port int
	if _, err := fmt.Fscan(stdout, &port); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d/", port)
}

// Receivers in Node.js take what is sent, by either secret while there are two, and nothing that was changed.
func TestNodeVerifiesDeliveries(t *testing.T) {
	t.Parallel()
	receiver, client := nodeReceiver(t), testClient(t, Config{Policy: here()})
	newest, previous := NewSecret(), NewSecret()
	refused := "No matching signature found"
	for name, c := range map[string]struct {
		secret, change string
		want           verdict
	}{
		"the newest":     {newest, "", verdict{"ok", "invoice.paid", true}},
		"the previous":   {previous, "", verdict{"ok", "invoice.paid", false}},
		"a wrong secret": {NewSecret(), "", verdict{refused, "", false}},
		"a changed body": {newest, "body", verdict{refused, "", false}},
		"a changed id":   {newest, "id", verdict{refused, "", true}},
		"a changed time": {newest, "time", verdict{refused, "", true}},
	} {
		r := delivery(receiver + "?" + url.Values{"secret": {c.secret}, "change": {c.change}}.Encode())
		r.Secrets, r.Body = []string{newest, previous}, []byte(`{"specversion":"1.0","type":"invoice.paid","data":{"note":"₹ 1 & <more>"}}`)
		a := client.Send(t.Context(), r)
		var got verdict
		if err := json.Unmarshal(a.Body, &got); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v (%s %s)", name, got, err, a.Code, a.Detail)
		}
	}
}

// The client signs with the present time alone; one from another is signed by hand.
func TestNodeRefusesOldDeliveries(t *testing.T) {
	t.Parallel()
	receiver, secret, body := nodeReceiver(t), NewSecret(), []byte(`{"type":"invoice.paid"}`)
	transport := &http.Transport{DisableKeepAlives: true}
	for age, want := range map[time.Duration]string{
		0: "ok", 4 * time.Minute: "ok", 5*time.Minute + 2*time.Second: "Message timestamp too old", -6 * time.Minute: "Message timestamp too new",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, receiver+"?secret="+url.QueryEscape(secret), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = signed(t, time.Now().Add(-age), "id", body, secret)
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		var got verdict
		err = json.NewDecoder(response.Body).Decode(&got)
		_ = response.Body.Close()
		if err != nil || !strings.HasPrefix(got.Standard, want) {
			t.Errorf("%s old: got %+v, %v", age, got, err)
		}
	}
}
