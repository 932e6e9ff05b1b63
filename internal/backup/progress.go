package backup

// Progress says how far something has come.
type Progress struct {
	Stage string // one of the Stages
	Bytes int64  // of the archive, so far
	Total int64  // as many as are expected; 0: nobody knows
}

// Stages of making, verifying and restoring.
const (
	Waiting   = "waiting"   // for the lock
	Dumping   = "dumping"   // pg_dump writes
	Counting  = "counting"  // the snapshot's rows are counted
	Checking  = "checking"  // the file is compared with its checksum
	Fetching  = "fetching"  // the file comes from the remote place
	Uploading = "uploading" // the file goes to the remote place
	Restoring = "restoring" // pg_restore reads
	Comparing = "comparing" // what was restored is compared with the manifest
)

// MakeOptions are what one backup has of its own.
type MakeOptions struct {
	ID       string         // of the backup, for the manifest: a UUIDv7; "": a new one
	JobID    string         // of the job that makes it, for the manifest
	Progress func(Progress) // called a few times a second, never by two at once; nil: nobody asks
}
