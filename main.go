// Payaid is the self-hosted, event-driven backend of a CRM and invoicing product. See README.md.
package main

import (
	"os"

	"github.com/payaid/payaid/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
