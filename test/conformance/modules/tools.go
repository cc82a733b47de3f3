//go:build tools

// Package conformance pins the programs of the conformance tests.
package conformance

import (
	_ "github.com/olareg/olareg/cmd/olareg"
	_ "github.com/opencontainers/distribution-spec/conformance"
)
