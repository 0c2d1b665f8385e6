package kind

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// loadInNamespace loads the nftables text into a network namespace that is there,
// and compares what it holds then with the document: a rehearsal away from the
// host's own network.
func loadInNamespace(ctx context.Context, j *Job, doc *ruleset.Document) error {
	if doc.Vendor != "linux" {
		return fmt.Errorf("load the ruleset of %s into a network namespace: only that of a Linux host can be", doc.Vendor)
	}
	nft := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", j.Options.Netns, "nft"}, args...)...)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("nft %s in namespace %s: %w: %s", strings.Join(args, " "), j.Options.Netns, err, strings.TrimSpace(said.String()))
		}
		return out, nil
	}
	if _, err := nft("-f", filepath.Join(j.Into, "ruleset.nft")); err != nil {
		return err
	}
	out, err := nft("-j", "-s", "list", "ruleset")
	if err != nil {
		return err
	}
	n, err := ruleset.ParseNFT(out)
	if err != nil {
		return err
	}
	live := &ruleset.Document{Vendor: "linux"}
	if err := live.AddNFT(n); err != nil {
		return err
	}
	want := &ruleset.Document{Vendor: "linux"}
	if s := doc.Section("nftables"); s != nil {
		want.Sections = []ruleset.Section{*s}
	}
	diff := ruleset.Diff(want, live)
	for _, d := range diff {
		j.Say = append(j.Say, "differs: "+d.Text())
	}
	if len(diff) == 0 {
		j.Say = append(j.Say, fmt.Sprintf("loaded into namespace %s: %d entries, the same as were saved", j.Options.Netns, len(n.Entries)))
	}
	return nil
}

// writeBootFiles writes the files that set up the network, below files/.
func writeBootFiles(j *Job, doc *ruleset.Document) error {
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
		var f struct{ Path, Mode, Text string }
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
		if err := r.WriteFile(name, []byte(f.Text), os.FileMode(mode)); err != nil {
			return err
		}
	}
	j.Paths = append(j.Paths, root)
	return nil
}
