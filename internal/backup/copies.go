package backup

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Copies is what a run of Copy did in the remote place.
type Copies struct {
	Stored  []string // backups that it got, or the rest of one
	Removed []string // backups that the retention no longer wants
	// Refused is why others that it no longer wants are still there, as in buckets that keep their files for a set
	// time; nil: none are.
	Refused error
}

// Copy brings to the remote place every good backup of the folder that it lacks, the newest first, and what came of
// verifying them. As in the folder, the manifest is written last and makes it a backup there. When all are there, the
// retention is applied to what is there, by the same rules. Without a remote place there is nothing to do.
//
// An error leaves the folder as it is; the next run goes on.
func (k *Keeper) Copy(ctx context.Context) (Copies, error) {
	if k.Remote == nil {
		return Copies{}, nil
	}
	if !k.copies.TryLock() {
		return Copies{}, &Fault{Code: Busy, Detail: "backups are being copied", Remedy: "wait until that has ended"}
	}
	defer k.copies.Unlock()
	f, err := openFolder(k.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Copies{}, nil
	}
	if err != nil {
		return Copies{}, err
	}
	defer f.close()
	local, err := k.listFolder(f)
	if err != nil {
		return Copies{}, err
	}
	remote, err := k.listRemote(ctx, f)
	if err != nil {
		return Copies{}, err
	}
	c := copying{k, f, remote, make(map[string]bool)}
	var done Copies
	if done.Stored, err = c.store(ctx, local); err != nil {
		return done, err
	}
	if len(done.Stored) > 0 {
		if c.remote, err = k.listRemote(ctx, f); err != nil {
			return done, err
		}
	}
	done.Removed, done.Refused = c.retain(ctx)
	return done, nil
}

// longestUpload is how long another host may take to send a backup that is not here, with the pauses between its tries.
const longestUpload = 3 * 24 * time.Hour

// A copying is one run of Copy.
type copying struct {
	*Keeper
	folder *folder
	remote map[string]Entry
	wanted map[string]bool // files that are on their way, or shall be
}

// store copies what is missing. A file here that turns out to be damaged keeps no other from being copied.
func (c copying) store(ctx context.Context, local []Entry) (stored []string, err error) {
	all := slices.Clone(local)
	for _, e := range c.remote {
		if !slices.ContainsFunc(local, func(l Entry) bool { return l.Name == e.Name && l.Good() }) {
			all = append(all, e)
		}
	}
	surplus := make(map[string]bool) // what would be removed again at once
	for _, e := range c.Retention.surplus(all, c.now()) {
		surplus[e.Name] = true
	}
	var damaged error
	for _, e := range local {
		if !e.Good() || surplus[e.Name] {
			continue
		}
		c.wanted[e.Manifest.File] = true
		some, err := c.storeOne(ctx, e)
		var f *Fault
		if errors.As(err, &f) && f.Code != RemoteFailed {
			damaged = errors.Join(damaged, err)
			continue
		}
		if err != nil {
			return stored, fmt.Errorf("copy backup %s: %w", e.Name, err)
		}
		if some {
			stored = append(stored, e.Name)
		}
	}
	return stored, damaged
}

// storeOne copies what is missing of one backup, and says whether anything was.
func (c copying) storeOne(ctx context.Context, e Entry) (bool, error) {
	there := c.remote[e.Name]
	if there.Manifest != nil && there.Manifest.ID != e.Manifest.ID {
		return false, &Fault{Code: ManifestInvalid, Detail: "the remote place has another backup with the name " + e.Name,
			Remedy: "give each installation a BACKUP_S3_PREFIX of its own"}
	}
	missing := []string{e.Name + verificationEnding}
	if !there.Good() {
		// A manifest without its dump would promise what is only coming.
		if err := c.Remote.Remove(ctx, e.Name+manifestEnding); err != nil {
			return false, err
		}
		if err := c.storeDump(ctx, *e.Manifest); err != nil {
			return false, err
		}
		missing = append(missing, e.Name+manifestEnding)
	}
	some := false
	for _, name := range missing {
		text, err := c.folder.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return some, unreadable(name, cause(err))
		}
		if strings.HasSuffix(name, verificationEnding) && there.Good() && sameVerification(there.Verification, text) {
			continue
		}
		if err := c.Remote.Put(ctx, name, bytes.NewReader(text), int64(len(text)), hexSum(text)); err != nil {
			return some, err
		}
		some = true
	}
	return some, nil
}

func (c copying) storeDump(ctx context.Context, m Manifest) error {
	file, err := c.folder.root.Open(m.File)
	if err != nil {
		return unreadable(m.File, cause(err))
	}
	defer file.Close()
	return c.Remote.Put(ctx, m.File, file, m.Bytes, m.SHA256)
}

// retain removes from the remote place what is no longer wanted there. Only what is there counts: a backup that never
// arrived keeps nothing alive and replaces nothing.
func (c copying) retain(ctx context.Context) (removed []string, refused error) {
	list := make([]Entry, 0, len(c.remote))
	for _, e := range c.remote {
		list = append(list, e)
	}
	for _, e := range c.Retention.surplus(list, c.now()) {
		if err := c.remove(ctx, e); err != nil {
			refused = errors.Join(refused, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		removed = append(removed, e.Name)
	}
	// Uploads that were cut off are no files yet, and few places have such a thing.
	if a, ok := c.Remote.(interface {
		AbandonUploads(ctx context.Context, begun time.Time, wanted func(name string) bool) error
	}); ok {
		refused = errors.Join(refused, a.AbandonUploads(ctx, c.now().Add(-longestUpload), func(name string) bool { return c.wanted[name] }))
	}
	return removed, refused
}

func (c copying) remove(ctx context.Context, e Entry) error {
	for _, name := range []string{e.Name + manifestEnding, e.Manifest.File, e.Name + verificationEnding} {
		if err := c.Remote.Remove(ctx, name); err != nil {
			return fmt.Errorf("remove backup %s from the remote place: %w", e.Name, err)
		}
	}
	return nil
}

// listRemote gives the backups of the remote place by name. Documents that lie in the folder as well are not fetched.
func (k *Keeper) listRemote(ctx context.Context, f *folder) (map[string]Entry, error) {
	objects, err := k.Remote.List(ctx)
	if err != nil {
		return nil, err
	}
	files := make(map[string]map[string]Object) // by backup and ending
	for _, o := range objects {
		if m := backupFile.FindStringSubmatch(o.Name); m != nil {
			if files[m[1]] == nil {
				files[m[1]] = make(map[string]Object)
			}
			files[m[1]][m[2]] = o
		}
	}
	list := make(map[string]Entry, len(files))
	for name, endings := range files {
		if list[name], err = k.remoteEntry(ctx, f, name, endings); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// remoteEntry looks at the files of one backup. Its error is that of the place, not of the backup.
func (k *Keeper) remoteEntry(ctx context.Context, f *folder, name string, endings map[string]Object) (Entry, error) {
	e := Entry{Name: name, Places: []string{InRemote}}
	if _, ok := endings[manifestEnding]; !ok {
		e.Problem = &Fault{Code: ManifestInvalid, Detail: name + " has no manifest in the remote place: its upload was cut off",
			Remedy: "nothing while the folder has it: the next backup brings the rest; else remove it there"}
		return e, nil
	}
	raw, err := k.document(ctx, f, endings[manifestEnding])
	if err != nil {
		return e, err
	}
	m, fault := decodeManifest(name, raw)
	if fault != nil {
		e.Problem = fault
		return e, nil
	}
	e.Manifest = &m
	dump, ok := endings[strings.TrimPrefix(m.File, name)]
	if !ok || dump.Size != m.Bytes {
		e.Problem = &Fault{Code: Truncated, Detail: fmt.Sprintf("%s has %d bytes in the remote place, and had %d", m.File, dump.Size, m.Bytes), Remedy: "use another backup"}
		return e, nil
	}
	if o, ok := endings[verificationEnding]; ok {
		if raw, err = k.document(ctx, f, o); err != nil {
			return e, err
		}
		e.Verification = decodeVerification(m, raw)
	}
	return e, nil
}

// document reads a small file of the remote place, or the same one in the folder; f may be nil. One that goes away
// meanwhile is empty.
func (k *Keeper) document(ctx context.Context, f *folder, o Object) ([]byte, error) {
	if f != nil && o.MD5 != "" {
		if text, err := f.read(o.Name); err == nil && int64(len(text)) == o.Size {
			if sum := md5.Sum(text); hex.EncodeToString(sum[:]) == o.MD5 {
				return text, nil
			}
		}
	}
	text, err := k.readRemote(ctx, o.Name)
	if fault := (*Fault)(nil); errors.As(err, &fault) && fault.Code == NotFound {
		return nil, nil
	}
	return text, err
}

// merged is what both places have. A backup that one of them has whole is good.
func merged(local []Entry, remote map[string]Entry) []Entry {
	list := slices.Clone(local)
	for i, l := range list {
		r, ok := remote[l.Name]
		delete(remote, l.Name)
		switch {
		case !ok || !r.Good():
		case !l.Good():
			list[i] = r
		case l.Manifest.ID == r.Manifest.ID:
			list[i].Places = []string{InFolder, InRemote}
			if l.Verification == nil {
				list[i].Verification = r.Verification
			}
		}
	}
	for _, r := range remote {
		list = append(list, r)
	}
	newestFirst(list)
	return list
}

// decodeVerification reads what came of verifying exactly this dump; nil: nothing that counts.
func decodeVerification(m Manifest, raw []byte) *Verification {
	var v Verification
	if json.Unmarshal(raw, &v) != nil || v.Name != m.Name || v.SHA256 != m.SHA256 {
		return nil
	}
	return &v
}

// sameVerification reports whether there is nothing new in what the folder says about what the remote place has.
func sameVerification(there *Verification, here []byte) bool {
	var v Verification
	if json.Unmarshal(here, &v) != nil || v.ofTheFile() {
		return true // and nothing that could be told
	}
	return there != nil && *there == v
}

func hexSum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
