package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
)

// Endings of the files of a backup, after its name.
const (
	dumpEnding         = ".dump.zst"
	encryptedEnding    = ".dump.zst.age"
	manifestEnding     = ".manifest.json"
	verificationEnding = ".verification.json"
)

// nameLayout is a backup's name, in UTC.
const nameLayout = "payaid_20060102_150405"

var (
	backupName = regexp.MustCompile(`^payaid_\d{8}_\d{6}$`)
	backupFile = regexp.MustCompile(`^(payaid_\d{8}_\d{6})(\.dump\.zst|\.dump\.zst\.age|\.manifest\.json|\.verification\.json)$`)
)

// The checksum is of the document's bytes as they are, with this in its place, so that a program which knows more
// fields or fewer can check it too.
const noChecksum = `"checksum": ""`

// encodeManifest writes a manifest down, with its checksum.
func encodeManifest(m Manifest) ([]byte, error) {
	m.Checksum = ""
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the manifest of %s: %w", m.Name, err)
	}
	at := bytes.LastIndex(raw, []byte(noChecksum))
	sum := sha256.Sum256(raw)
	signed := bytes.Clone(raw[:at])
	signed = fmt.Appendf(signed, `"checksum": %q`, hex.EncodeToString(sum[:]))
	return append(signed, raw[at+len(noChecksum):]...), nil
}

// decodeManifest reads the manifest of the backup of that name. What it gives is what was written.
func decodeManifest(name string, raw []byte) (Manifest, *Fault) {
	invalid := func(format string, args ...any) (Manifest, *Fault) {
		return Manifest{}, &Fault{Code: ManifestInvalid, Detail: "the manifest of " + name + " " + fmt.Sprintf(format, args...),
			Remedy: "use another backup; if the dump is the only one, put back the manifest from where it was copied to"}
	}
	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return invalid("is no manifest")
	}
	if m.Format > manifestFormat {
		return invalid("is of format %d, and this program knows formats up to %d: use a newer one", m.Format, manifestFormat)
	}
	if m.Format < 1 || m.Checksum == "" {
		return invalid("is no manifest")
	}
	signed := []byte(`"checksum": "` + m.Checksum + `"`)
	at := bytes.LastIndex(raw, signed)
	if at < 0 {
		return invalid("was changed")
	}
	plain := append(append(bytes.Clone(raw[:at]), noChecksum...), raw[at+len(signed):]...)
	if sum := sha256.Sum256(plain); hex.EncodeToString(sum[:]) != m.Checksum {
		return invalid("was changed: its checksum is another")
	}
	if m.Name != name || m.File != name+dumpEnding && m.File != name+encryptedEnding {
		return invalid("is of another backup, %q", m.Name)
	}
	return m, nil
}
