package cli

import (
	"strings"
	"testing"
	"time"
)

func TestMailRateLimits(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]sending{
		"1000/1h": {limit: 1000, window: time.Hour}, " 5 / 30s ": {limit: 5, window: 30 * time.Second}, "0": {},
	} {
		var p problems
		if got := (sendingSettings{MailRateLimit: value, MailReceipts: "false"}).check(&p); len(p.list) > 0 || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", value, got, p.list, want)
		}
	}
	for _, value := range []string{"", "1000", "-1/1h", "0/1h", "1/500ms", "1/1000h", "x/1h", "1/x", "1000001/1h"} {
		var p problems
		(sendingSettings{MailRateLimit: value, MailReceipts: "false"}).check(&p)
		if len(p.list) != 1 || !strings.Contains(p.list[0], "MAIL_RATE_LIMIT") {
			t.Errorf("%q: got %v", value, p.list)
		}
	}
}
