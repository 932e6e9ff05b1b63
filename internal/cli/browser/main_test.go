// Package browser holds tests that use the admin's pages as an operator does: by Chromium, on the whole product.
package browser

import (
	"flag"
	"os"
	"testing"

	"github.com/payaid/payaid/internal/cli"
	"github.com/payaid/payaid/internal/localstack"
)

// The test binary is the product's too: with this variable it is payaid and runs no test.
const asProcess = "PAYAID_BROWSER_PROCESS"

var (
	// With -screenshots DIR TestPages also keeps pictures of every page, in both themes.
	screenshots = flag.String("screenshots", "", "a folder for pictures of every page, in both themes")
	// With -at and -key it looks at an installation that runs already.
	atFlag  = flag.String("at", "", "an installation to look at, such as http://127.0.0.1:8080; otherwise one is started")
	keyFlag = flag.String("key", "", "its admin key")
)

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) == "1" {
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr, cli.WithNoop(), cli.WithJobs(doorJobs)))
	}
	os.Exit(localstack.RunTests(m))
}
