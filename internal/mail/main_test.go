package mail

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/payaid/payaid/internal/localstack"
)

func TestMain(m *testing.M) {
	code := localstack.RunTests(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "after all tests:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
