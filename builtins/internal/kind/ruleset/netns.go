package ruleset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// loadInNamespace loads the saved files into a network namespace that is there, and
// compares what it holds then with the document, table by table: a rehearsal away from
// the host's own network.
func loadInNamespace(ctx context.Context, j *kind.Job, doc *ruleset.Document) error {
	if doc.Vendor != "linux" {
		return fmt.Errorf("load the ruleset of %s into a network namespace: only that of a Linux host can be", doc.Vendor)
	}
	in := func(stdin io.Reader, words ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", j.Options.Netns}, words...)...)
		var said bytes.Buffer
		cmd.Stdin, cmd.Stderr = stdin, &said
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s in namespace %s: %w: %s", strings.Join(words, " "), j.Options.Netns, err, strings.TrimSpace(said.String()))
		}
		return out, nil
	}
	tables := map[string]bool{}
	for _, l := range loaders {
		f, err := os.Open(filepath.Join(j.Into, l.file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		words, stdin := append(strings.Fields(l.load), f.Name()), io.Reader(nil)
		if l.stdin {
			words, stdin = words[:len(words)-1], f
		}
		_, err = in(stdin, words...)
		if cerr := f.Close(); err != nil || cerr != nil {
			return errors.Join(err, cerr)
		}
		for _, a := range doc.Checked {
			for _, t := range a.Tables {
				tables[t] = tables[t] || a.File == l.file
			}
		}
		if strings.Contains(l.file, ruleset.Legacy) {
			j.Say = append(j.Say, l.file+" was loaded there; nft does not list what it holds: compare it by hand with "+strings.TrimSuffix(l.load,
				"restore")+"save")
		}
	}
	out, err := in(nil, "nft", "-j", "-s", "list", "ruleset")
	if err != nil {
		return err
	}
	text, err := in(nil, "nft", "-s", "list", "ruleset")
	if err != nil {
		return err
	}
	return compareLoaded(j, doc, tables, out, text)
}

// compareLoaded says which of the tables that were loaded are not as they were saved;
// of a document of version 1, which names none, all are meant.
func compareLoaded(j *kind.Job, doc *ruleset.Document, tables map[string]bool, asJSON, text []byte) error {
	n, err := ruleset.ParseNFT(asJSON)
	if err != nil {
		return err
	}
	n.SetFlags(text)
	live := &ruleset.Document{Vendor: "linux"}
	if err := live.AddNFT(n); err != nil {
		return err
	}
	want, err := doc.Listings()
	if err != nil {
		return err
	}
	got, err := live.Listings()
	if err != nil {
		return err
	}
	same, entries := true, 0
	for _, t := range slices.SortedFunc(maps.Keys(want), func(a, b ruleset.Table) int { return strings.Compare(a.String(), b.String()) }) {
		if doc.Version > 1 && !tables[t.String()] {
			continue
		}
		if part := want[t].Differs(got[t]); part != "" {
			same = false
			j.Say = append(j.Say, fmt.Sprintf("differs: table %s: %s", t, part))
		}
		for _, e := range want[t] {
			entries += len(e)
		}
	}
	if !same {
		return fmt.Errorf("what was loaded into namespace %s is not what was saved: %s", j.Options.Netns, strings.Join(j.Say, "; "))
	}
	j.Say = append(j.Say, fmt.Sprintf("loaded into namespace %s: %d entries, the same as were saved", j.Options.Netns, entries))
	return nil
}

// writeBootFiles writes the files that set up the network, below files/.
func writeBootFiles(j *kind.Job, doc *ruleset.Document) error {
	s := doc.Section("files")
	if s == nil {
		return nil
	}
	root := filepath.Join(j.Into, "files")
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, e := range s.Entries {
		var f struct {
			Path, Mode, Text string
			Raw              []byte
		}
		if err := json.Unmarshal(e, &f); err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.Clean(f.Path), "/")
		mode, err := strconv.ParseUint(f.Mode, 8, 32)
		if err != nil || mode > 0o777 || !filepath.IsLocal(name) {
			return fmt.Errorf("file %q of mode %q cannot be written", f.Path, f.Mode)
		}
		if err := r.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := r.WriteFile(name, append([]byte(f.Text), f.Raw...), os.FileMode(mode)); err != nil {
			return err
		}
	}
	j.Paths = append(j.Paths, root)
	return nil
}
