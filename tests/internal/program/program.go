// Package program builds runner for the tests that look at it from outside: the
// binary that ships, without cgo.
package program

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build makes the binary in dir and returns its path. The caller works below the
// module.
func Build(dir, version string) (string, error) {
	path := filepath.Join(dir, "runner")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", path,
		"github.com/neosofia/runner/cmd/runner")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build runner: %w\n%s", err, out.Bytes())
	}
	return path, nil
}
