package backup

// A Fault is a failure that its reader can act on.
type Fault struct {
	Code   string // one of the Codes
	Detail string // what went wrong: no secrets, no data
	Remedy string // what to do
	Err    error  // what it came from, perhaps nil
}

// Codes of faults.
const (
	Busy            = "busy"             // another backup or a migration holds the lock
	DatabaseAway    = "database_away"    // Postgres can't be reached, or went away
	LoginTooWeak    = "login_too_weak"   // it doesn't see every row, or may not make databases
	ClientVersion   = "client_version"   // pg_dump or pg_restore is missing, or of another major version
	DiskFull        = "disk_full"        // or too little is left to begin
	FolderUnusable  = "folder_unusable"  // not there, not ours, not for us alone, not writable
	DumpFailed      = "dump_failed"      // pg_dump ended with an error, or was killed
	LockTimeout     = "lock_timeout"     // a table was locked by a change of the schema
	NotFound        = "not_found"        // there is no such backup
	ManifestInvalid = "manifest_invalid" // missing, changed, or of another backup
	Truncated       = "truncated"        // the file is shorter than its manifest says
	Corrupted       = "corrupted"        // the file is not what was written
	KeyMissing      = "key_missing"      // it is encrypted, and no key was given
	WrongKey        = "wrong_key"        // none of the keys given opens it
	RestoreFailed   = "restore_failed"   // pg_restore ended with an error, or was killed
	CannotRestore   = "cannot_restore"   // the server lacks what the dump needs: an extension, a locale, a newer version
	Different       = "different"        // what was restored is not what was dumped
	DatabaseExists  = "database_exists"  // a restore would overwrite it
	RemoteFailed    = "remote"           // the second place did not take or give it
)

// Error implements error.
func (f *Fault) Error() string { return f.Detail }

// Unwrap gives what it came from.
func (f *Fault) Unwrap() error { return f.Err }
