package localstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// PostfixMail is a mail that Postfix accepted, as its log has it.
type PostfixMail struct {
	QueueID, MessageID, From string
	// To is the recipient of its last delivery, and Status what that came to: sent, deferred, bounced or expired;
	// "" while there was none.
	To, Status string
}

// Log is what the mail server has written so far.
func (p *Postfix) Log() string {
	raw, _ := os.ReadFile(p.dir.join("mail.log"))
	return string(raw)
}

var (
	logMessage  = regexp.MustCompile(`/cleanup\[\d+\]: ([0-9A-Za-z]+): message-id=<?([^>\s]*)>?`)
	logAccepted = regexp.MustCompile(`/qmgr\[\d+\]: ([0-9A-Za-z]+): from=<([^>]*)>, size=\d+, nrcpt=\d+ \(queue active\)`)
	logDelivery = regexp.MustCompile(`: ([0-9A-Za-z]+): to=<([^>]*)>,.* status=(\w+)`)
)

// Accepted is what it has taken the responsibility for, in that order. A mail that broke off is not among them,
// though the log names it: only the queue manager's word counts. Drain waits until its word is complete.
func (p *Postfix) Accepted() []PostfixMail {
	var all []PostfixMail
	ids, at := make(map[string]string), make(map[string]int)
	for line := range strings.Lines(p.Log()) {
		if m := logMessage.FindStringSubmatch(line); m != nil {
			ids[m[1]] = m[2]
		}
		if m := logAccepted.FindStringSubmatch(line); m != nil {
			if _, again := at[m[1]]; !again {
				at[m[1]] = len(all)
				all = append(all, PostfixMail{QueueID: m[1], From: m[2]})
			}
		}
		if m := logDelivery.FindStringSubmatch(line); m != nil {
			if i, ok := at[m[1]]; ok {
				all[i].To, all[i].Status = m[2], m[3]
			}
		}
	}
	for i := range all {
		all[i].MessageID = ids[all[i].QueueID]
	}
	return all
}

// Drain waits until all that was accepted has been delivered, and all that was done is logged. Mail that is deferred
// keeps it waiting.
func (p *Postfix) Drain(ctx context.Context) error {
	err := poll(ctx, func(ctx context.Context) error {
		queued, err := p.queued()
		switch {
		case err != nil:
			return final{err}
		case queued > 0:
			return fmt.Errorf("%d mails are in the queue", queued)
		}
		return p.catchUp(ctx)
	})
	if err != nil {
		return fmt.Errorf("wait for postfix's queue: %w", err)
	}
	return nil
}

// catchUp waits until the log has what its programs have said by now. They say it to one that writes, in order, and with
// it this mark. Where that one is killed, the mark may be lost, and it waits in vain for seconds.
func (p *Postfix) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	logger, err := net.Dial("unixgram", p.dir.join("queue/public/postlog"))
	if err != nil {
		return err
	}
	defer logger.Close()
	mark := "all until here " + rand.Text()
	if _, err := logger.Write([]byte(mark)); err != nil {
		return err
	}
	return p.AwaitLog(ctx, regexp.MustCompile(mark), 1)
}

// queued counts whole mails. Postfix marks those by the right to execute their files.
func (p *Postfix) queued() (n int, err error) {
	for _, name := range []string{"maildrop", "incoming", "active", "deferred"} {
		err = filepath.WalkDir(p.dir.join("queue/"+name), func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode()&0o100 != 0 {
				n++
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// AwaitLog waits until a pattern has come n times in the log.
func (p *Postfix) AwaitLog(ctx context.Context, pattern *regexp.Regexp, n int) error {
	err := poll(ctx, func(context.Context) error {
		if found := len(pattern.FindAllStringIndex(p.Log(), -1)); found < n {
			return fmt.Errorf("it came %d times", found)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s %d times in postfix's log: %w", pattern, n, err)
	}
	return nil
}

// Kill kills all its processes at one moment, the hard way, and returns when they are gone. The log has what they said
// until then: the one that writes it goes last.
func (p *Postfix) Kill() {
	for _, pid := range p.programs(func(name string) bool { return name != "postlogd" }) {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	if err := p.catchUp(context.Background()); err != nil {
		p.dir.log.Warn("postfix's log lacks the end", "err", err)
	}
	p.Process.Kill()
}

// KillWorkers kills all its processes of one name, such as smtpd, the hard way, and says how many there were.
// Postfix starts new ones when they are needed.
func (p *Postfix) KillWorkers(name string) (n int) {
	for _, pid := range p.programs(func(other string) bool { return other == name }) {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			n++
		}
	}
	return n
}

// programs are its processes with such names, the master before those that it started.
func (p *Postfix) programs(named func(string) bool) (pids []int) {
	master := p.Pid()
	if master == 0 {
		return nil // it has none now, and below 0 are all processes of the machine
	}
	for _, pid := range append([]int{master}, descendants(master)...) {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && named(strings.TrimSpace(string(comm))) {
			pids = append(pids, pid)
		}
	}
	return pids
}
