package kind

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/archive"
)

// ExtractTree extracts the tree of a tar archive into a new folder below Into, and reads
// the stream to its end, where its digest is known.
func (j *Job) ExtractTree(ctx context.Context, file string, r io.Reader, folder string) (archive.Report, error) {
	root := filepath.Join(j.Into, folder)
	if err := os.Mkdir(root, 0o755); err != nil {
		return archive.Report{}, err
	}
	j.Paths = append(j.Paths, root)
	report, err := archive.ExtractTree(ctx, file, r, root, archive.Options{SkipDevices: os.Geteuid() != 0})
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return report, err
}

// notRestored is beside what was extracted, and lists what could not be set on it.
const notRestored = "not-restored.txt"

// NotRestored says what entries came back without: all of it in a file, and in a sentence.
func (j *Job) NotRestored(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	path := filepath.Join(j.Into, notRestored)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	j.Skipped = append(j.Skipped, fmt.Sprintf("not everything could be set on what was extracted (%d lines in %s), such as: %s", len(lines),
		path, lines[0]))
	return nil
}
