//go:build tools

// Package deploy pins the programs that check the chart and the compose file.
package deploy

import (
	_ "github.com/compose-spec/compose-go/v2/cmd"
	_ "helm.sh/helm/v3/cmd/helm"
)
