package cli

type backupCmd struct {
	Restore backupRestoreCmd `cmd:"" help:"Make a database of a backup."`
}
