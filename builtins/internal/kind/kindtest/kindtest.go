// Package kindtest opens and recovers artifacts that are in memory, for the tests of kinds.
package kindtest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kind"
	"github.com/neosofia/runner/runtime/ledger"
)

// Check opens files, in that order, as a kind does.
func Check(t *testing.T, k kind.Kind, files map[string]string, order ...string) error {
	t.Helper()
	c := k.Open()
	for _, name := range order {
		if err := c.File(t.Context(), name, strings.NewReader(files[name])); err != nil {
			return err
		}
	}
	return c.End()
}

// Job recovers files into a folder of the test.
func Job(t *testing.T, name string, files map[string]string, order ...string) *kind.Job {
	t.Helper()
	j := &kind.Job{Artifact: ledger.Artifact{Kind: name, Item: "h"}, Into: filepath.Join(t.TempDir(), "into"),
		Open: func(_ context.Context, name string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(files[name])), nil
		}}
	for _, name := range order {
		j.Artifact.Files = append(j.Artifact.Files, ledger.File{Name: name, Size: int64(len(files[name]))})
	}
	if err := os.Mkdir(j.Into, 0o700); err != nil {
		t.Fatal(err)
	}
	return j
}
