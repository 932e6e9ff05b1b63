package localstack

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PostfixOptions says what a private mail server does with mail. It can't send any to other machines.
type PostfixOptions struct {
	Dir string
	// Replies are answers to recipients, before those that every one has: by a regular expression such as
	// /^nobody@/ the reply, such as "550 5.1.1 User unknown".
	Replies map[string]string
	// Transports are where mail goes by the recipient, such as /@mx\.test$/ by "smtp:[127.0.0.1]:2425" or
	// "lmtp:inet:127.0.0.1:2424". All other mail is taken and thrown away.
	Transports map[string]string
	// Settings are further lines of main.cf, by their names.
	Settings map[string]string
	// Names are what the certificate is for; localhost and 127.0.0.1 unless set.
	Names []string
	Log   *slog.Logger
}

// Postfix is a real mail server with a real login (Dovecot's), for tests and measurements. The recipients nobody@,
// full@, blocked@, grey@, busy@, crowded@ and drop@ are refused at any domain, each in its own way.
//
// Killing it kills the mail server alone; it comes back with its queue. Postfix runs as root only.
type Postfix struct {
	*Process
	dovecot                     *Process
	dir                         *workdir
	plain, submission, implicit int
	password                    string
	roots                       *x509.CertPool
}

// usualReplies are those of every Postfix.
const usualReplies = `/^nobody@/ 550 5.1.1 User unknown
/^full@/ 552 5.2.2 Mailbox full
/^blocked@/ 554 5.7.1 Message refused by policy
/^grey@/ 450 4.2.0 Greylisted, try again later
/^busy@/ 451 4.3.0 Temporary lookup failure
/^crowded@/ 452 4.5.3 Too many recipients
/^drop@/ 421 4.7.0 Too many errors, closing
`

// StartPostfix starts postfix and, for logins, dovecot, and returns when all three ports answer.
func StartPostfix(ctx context.Context, o PostfixOptions) (*Postfix, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	if err := PostfixMissing(); err != nil {
		return nil, fmt.Errorf("start postfix: %w", err)
	}
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start postfix: %w", err)
	}
	p := &Postfix{dir: dir}
	if err := p.prepare(ctx, o); err != nil {
		dir.close()
		return nil, fmt.Errorf("start postfix: %w", err)
	}
	if p.dovecot, err = p.startDovecot(ctx); err != nil {
		dir.close()
		return nil, err
	}
	master, _ := postfixMaster()
	p.Process, err = startProcess(ctx, processOptions{
		name: "postfix",
		path: master,
		// -d keeps it in the process group that is its own here, -c is where it is configured.
		args:       []string{"-d", "-c", dir.join("etc")},
		stopSignal: syscall.SIGTERM,
		ready:      p.answers,
		dir:        dir,
		log:        dir.log,
	})
	if err != nil {
		now, cancel := context.WithCancel(ctx)
		cancel()
		_ = p.dovecot.Stop(now)
		return nil, fmt.Errorf("%w\n%s", err, dir.logTail("mail", 5))
	}
	return p, nil
}

// ErrNotRoot is why a Postfix can't be started that is installed.
var ErrNotRoot = errors.New("postfix runs as root only: run the tests as root, for example in a container")

// PostfixMissing says what stands in the way of a Postfix on this machine, nil for nothing.
func PostfixMissing() error {
	if _, err := postfixMaster(); err != nil {
		return errors.New("postfix is not installed: run `apt-get install postfix`")
	}
	if _, err := exec.LookPath("dovecot"); err != nil {
		return errors.New("dovecot is not installed: run `apt-get install dovecot-core`")
	}
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	return nil
}

// postfixMaster finds the program that starts all others. It is on no path, as nobody is to start it by hand.
func postfixMaster() (string, error) {
	for _, dir := range []string{"/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/lib/postfix"} {
		path := filepath.Join(dir, "master")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", os.ErrNotExist
}

func (p *Postfix) prepare(ctx context.Context, o PostfixOptions) (err error) {
	for _, port := range []struct {
		file string
		into *int
	}{{"port", &p.plain}, {"port-submission", &p.submission}, {"port-implicit", &p.implicit}} {
		if *port.into, err = p.dir.portOf(ctx, port.file, 0); err != nil {
			return err
		}
	}
	if p.password, err = p.dir.secret("password"); err != nil {
		return err
	}
	if p.roots, err = makeCertificate(p.dir, o.Names); err != nil {
		return err
	}
	if err := p.queue(); err != nil {
		return err
	}
	return p.configure(o)
}

// queue makes the folders that Postfix keeps mail in, with the owners that it insists on.
func (p *Postfix) queue() error {
	owner, err := unprivileged("postfix")
	if err != nil {
		return err
	}
	drop, err := user.LookupGroup("postdrop")
	if err != nil {
		return err
	}
	dropID, err := strconv.Atoi(drop.Gid)
	if err != nil {
		return err
	}
	if err := os.Chmod(p.dir.path, 0o755); err != nil {
		return err
	}
	folder := func(name string, mode os.FileMode, uid, gid int) error {
		path := p.dir.join(name)
		// The mode after the owner, whose change clears bits of it.
		return errors.Join(os.MkdirAll(path, 0o755), os.Chown(path, uid, gid), os.Chmod(path, mode))
	}
	all := []error{folder("etc", 0o755, 0, 0), folder("data", 0o700, int(owner.Uid), int(owner.Gid)),
		folder("queue", 0o755, 0, 0), folder("queue/pid", 0o755, 0, 0),
		folder("queue/maildrop", 0o730, int(owner.Uid), dropID), folder("queue/public", 0o710, int(owner.Uid), dropID)}
	for _, name := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"} {
		all = append(all, folder("queue/"+name, 0o700, int(owner.Uid), int(owner.Gid)))
	}
	return errors.Join(all...)
}

func (p *Postfix) startDovecot(ctx context.Context) (*Process, error) {
	path, err := exec.LookPath("dovecot")
	if err != nil {
		return nil, err
	}
	dir, err := openWorkdir(p.dir.join("dovecot"), p.dir.log)
	if err != nil {
		return nil, fmt.Errorf("start dovecot: %w", err)
	}
	if err := p.configureDovecot(dir); err != nil {
		dir.close()
		return nil, fmt.Errorf("start dovecot: %w", err)
	}
	return startProcess(ctx, processOptions{
		name: "dovecot", path: path, args: []string{"-F", "-c", dir.join("dovecot.conf")},
		stopSignal: syscall.SIGTERM, dir: dir, log: dir.log,
		ready: func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", p.authSocket())
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
}

func (p *Postfix) authSocket() string { return p.dir.join("dovecot/auth") }

// answers is nil when the ports without TLS greet, and the one with it takes connections.
func (p *Postfix) answers(ctx context.Context) error {
	for _, port := range []int{p.plain, p.submission} {
		if err := greets(ctx, loopback(port)); err != nil {
			return err
		}
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", loopback(p.implicit))
	if err != nil {
		return err
	}
	return conn.Close()
}

func greets(ctx context.Context, addr string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	greeting := make([]byte, 4)
	if _, err := conn.Read(greeting); err != nil {
		return err
	}
	if !strings.HasPrefix(string(greeting), "220") {
		return fmt.Errorf("it greets with %q", greeting)
	}
	return writeAll(conn, "QUIT\r\n")
}

// Stop ends both servers.
func (p *Postfix) Stop(ctx context.Context) error {
	return errors.Join(p.Process.Stop(ctx), p.dovecot.Stop(ctx))
}

// Plain is the port, on 127.0.0.1, that takes mail for anywhere from this machine; STARTTLS is offered.
func (p *Postfix) Plain() int { return p.plain }

// Submission is the port that wants STARTTLS and a login, as 587 does.
func (p *Postfix) Submission() int { return p.submission }

// Implicit is the port that begins with TLS and wants a login, as 465 does.
func (p *Postfix) Implicit() int { return p.implicit }

// Login is the account that may send.
func (p *Postfix) Login() (name, password string) { return "payaid", p.password }

// Roots is the authority that signed the certificate, and CAFile a PEM file with it.
func (p *Postfix) Roots() *x509.CertPool { return p.roots }

// CAFile is a PEM file with the authority that signed the certificate.
func (p *Postfix) CAFile() string { return p.dir.join("ca.pem") }
