package edge

import (
	"os"
	"testing"

	"github.com/payaid/payaid/internal/cli"
	"github.com/payaid/payaid/internal/localstack"
)

// The test binary is the product's too: with this variable it is payaid and runs no test.
const asProcess = "PAYAID_EDGE_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) == "1" {
		os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(localstack.RunTests(m))
}
