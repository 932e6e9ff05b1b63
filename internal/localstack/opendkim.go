package localstack

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// OpenDKIMOptions says where a private OpenDKIM keeps its key and log, and what it signs.
type OpenDKIMOptions struct {
	Dir string
	// Port 0 is any free one, remembered in Dir.
	Port int
	// Headers are those that it signs, SignHeaders of its configuration; none leaves its own choice, which has
	// List-Unsubscribe and not List-Unsubscribe-Post.
	Headers []string
	// OmitHeaders are those that it doesn't sign although it would.
	OmitHeaders []string
	// Canonicalization is how much may change on the way: "simple/simple" is nothing.
	Canonicalization string
	Log              *slog.Logger
}

// OpenDKIM signs the mail of any domain as a milter, with one key.
type OpenDKIM struct {
	*Process
	port int
	key  *rsa.PrivateKey
}

// opendkimSelector is the key's name in the DNS, under _domainkey of the domain.
const opendkimSelector = "mail"

// StartOpenDKIM starts opendkim, as an unprivileged user when run by root.
func StartOpenDKIM(ctx context.Context, o OpenDKIMOptions) (*OpenDKIM, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	path, err := findProgram("opendkim", "/usr/sbin/opendkim")
	if err != nil {
		return nil, errors.New("start opendkim: it is not installed: run `apt-get install opendkim`")
	}
	as, err := unprivileged("opendkim", "nobody")
	if err != nil {
		return nil, fmt.Errorf("start opendkim: %w", err)
	}
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start opendkim: %w", err)
	}
	d := &OpenDKIM{}
	if d.port, err = dir.port(ctx, o.Port); err == nil {
		err = d.configure(dir, o, as)
	}
	if err != nil {
		dir.close()
		return nil, fmt.Errorf("start opendkim: %w", err)
	}
	d.Process, err = startProcess(ctx, processOptions{
		name:       "opendkim",
		path:       path,
		args:       []string{"-f", "-x", dir.join("opendkim.conf")},
		credential: as,
		// It keeps nothing, and takes five seconds to end when asked to.
		stopSignal: syscall.SIGKILL,
		ready:      d.ping,
		dir:        dir,
		log:        dir.log,
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// findProgram also looks where programs of the system are that a user's PATH may lack.
func findProgram(name, system string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(system)
}

// configure makes a key and writes what opendkim reads.
func (d *OpenDKIM) configure(dir *workdir, o OpenDKIMOptions, as *syscall.Credential) error {
	var err error
	if d.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	lines := []string{
		"Mode s",
		fmt.Sprintf("Socket inet:%d@127.0.0.1", d.port),
		"Syslog no",
		"InternalHosts 127.0.0.1",
		"KeyTable file:" + dir.join("keys"),
		"SigningTable refile:" + dir.join("signers"),
		"OversignHeaders From",
		// It would distrust a key below a folder where others may write, as temporary ones are.
		"RequireSafeKeys no",
	}
	if o.Canonicalization != "" {
		lines = append(lines, "Canonicalization "+o.Canonicalization)
	}
	if len(o.Headers) > 0 {
		lines = append(lines, "SignHeaders "+strings.Join(o.Headers, ","))
	}
	if len(o.OmitHeaders) > 0 {
		lines = append(lines, "OmitHeaders "+strings.Join(o.OmitHeaders, ","))
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(d.key)})
	for name, content := range map[string]string{
		"key.pem": string(key),
		// % stands for the domain of whoever is in From.
		"keys":          "key %:" + opendkimSelector + ":" + dir.join("key.pem") + "\n",
		"signers":       "* key\n",
		"opendkim.conf": strings.Join(lines, "\n") + "\n",
	} {
		if err := writeAtomic(dir.join(name), []byte(content), 0o600); err != nil {
			return err
		}
		if as != nil {
			if err := os.Chown(dir.join(name), int(as.Uid), int(as.Gid)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Milter is where a mail server reaches it, as Postfix's smtpd_milters has it.
func (d *OpenDKIM) Milter() string { return "inet:" + loopback(d.port) }

// Port is where it listens, on 127.0.0.1; another may take its place when it has been stopped.
func (d *OpenDKIM) Port() int { return d.port }

// LookupTXT answers as the DNS would if every domain had the key published.
func (d *OpenDKIM) LookupTXT(name string) ([]string, error) {
	if !strings.HasPrefix(name, opendkimSelector+"._domainkey.") {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	public, err := x509.MarshalPKIXPublicKey(&d.key.PublicKey)
	if err != nil {
		return nil, err
	}
	return []string{"v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)}, nil
}

// ping is nil when something speaks the milter protocol: it answers an offer of no actions and no steps.
func (d *OpenDKIM) ping(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", loopback(d.port))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	offer := "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"
	if err := writeAll(conn, offer); err != nil {
		return err
	}
	head, err := bufio.NewReader(conn).Peek(5)
	if err != nil {
		return err
	}
	if head[4] != 'O' {
		return fmt.Errorf("ping opendkim: it answers %q", head)
	}
	return nil
}
