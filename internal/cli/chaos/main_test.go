// Package chaos holds tests that run the product as the processes it is deployed as, and take them and
// their services away from under it.
package chaos

import (
	"flag"
	"os"
	"testing"

	"github.com/payaid/payaid/internal/cli"
	"github.com/payaid/payaid/internal/localstack"
)

// The test binary is the product's too: with this variable it is payaid and runs no test.
const asProcess = "PAYAID_CHAOS_PROCESS"

var (
	jobsFlag  = flag.Int("jobs", 300, "how many jobs TestChaos submits")
	killsFlag = flag.Int("kills", 9, "how many processes and services TestChaos kills")
	// Each boundary of a mail's way three times.
	mailKillsFlag = flag.Int("mailkills", 24, "how many workers TestChaosOfMail kills")
	ordealsFlag   = flag.Int("ordeals", 3, "how many of its ordeals TestChaosOfTheCluster goes through")
	seedFlag      = flag.Uint64("seed", 0, "of TestChaos's schedule; 0: another one each time")
	fromFlag      = flag.String("from", "", "the commit whose program TestUpgradeAndBack upgrades; empty: the one before the newest migration")
	logsFlag      = flag.String("logs", "", "a folder to keep the logs of the processes in")
)

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) == "1" {
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr, cli.WithNoop(), cli.WithJobs(chaosJobs)))
	}
	// These tests wait for others more than they compute. A -parallel of the command line comes later and wins.
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	os.Exit(localstack.RunTests(m))
}
