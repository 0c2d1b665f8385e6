package targettest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// hostile puts manifests on the medium that somebody might write, beside a good one.
func hostile(t *testing.T, tgt *target.Target, h Hooks) {
	o := One(t, Source(File{"disk.raw", Bytes(20, 1000)}), tgt)
	good, err := os.ReadFile(filepath.Join(h.Dir, o.Copy.Ref, "manifest.json"))
	must(t, err)
	manifest := func(from, to string) []byte { return bytes.ReplaceAll(good, []byte(from), []byte(to)) }
	cases := map[string][]byte{
		"empty":                   nil,
		"no JSON":                 []byte("\x00\x01"),
		"a list":                  []byte("[]"),
		"a later version":         manifest(`"version": 1,`, `"version": 2,`),
		"a key twice":             manifest(`"version": 1,`, `"version": 1, "version": 1,`),
		"a key in two cases":      manifest(`"version": 1,`, `"version": 1, "Version": 1,`),
		"a path in a name":        manifest(`"name": "disk.raw"`, `"name": "../../../../etc/shadow"`),
		"a hidden name":           manifest(`"name": "disk.raw"`, `"name": ".ssh"`),
		"an option for a name":    manifest(`"name": "disk.raw"`, `"name": "-rf"`),
		"a negative size":         manifest(`"size": 1000`, `"size": -1`),
		"an absurd size":          manifest(`"size": 1000`, `"size": 9223372036854775807`),
		"no digest":               manifest(`"sha256": "`, `"sha256": "zz`),
		"another folder":          manifest(`"ref": "vm/erp/`, `"ref": "vm/web/`),
		"a folder outside":        manifest(`"ref": "vm/erp/`, `"ref": "vm/../`),
		"characters of terminals": manifest(`"location": "`, `"location": "\u001b[2J`),
		"something behind":        append(bytes.Clone(good), "{}"...),
		"nested without end":      []byte(strings.Repeat(`{"a":`, 1<<20)),
		"100 MiB":                 bytes.Repeat([]byte(" "), 100<<20),
	}
	for name, b := range cases {
		id := ledger.ArtifactID(name, "/0")
		dir := filepath.Join(h.Dir, "vm", "evil", "20261123T071116Z-"+id)
		must(t, os.MkdirAll(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o600))
	}
	// Folders that are not ours, and an artifact that is not complete.
	must(t, os.MkdirAll(filepath.Join(h.Dir, "photos", "2026", "summer"), 0o700))
	must(t, os.MkdirAll(filepath.Join(h.Dir, "FOUND.000"), 0o700))
	must(t, os.MkdirAll(filepath.Join(h.Dir, "vm", "od d"), 0o700))
	must(t, os.MkdirAll(filepath.Join(h.Dir, "strange name"), 0o700))
	must(t, os.WriteFile(filepath.Join(h.Dir, "vm", "stray"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(h.Dir, "sealed", "vm", "erp"), 0o700)) // another target below this one
	must(t, os.WriteFile(filepath.Join(h.Dir, "sealed", "checkpoint-pve1.txt"), nil, 0o600))
	for _, usual := range []string{"lost+found", "System Volume Information", ".Trash-1000"} {
		must(t, os.MkdirAll(filepath.Join(h.Dir, usual), 0o700))
	}
	all, bad, err := tgt.List(context.Background())
	if err != nil || len(all) != 1 || all[0].Copy.ID != o.Copy.ID {
		t.Errorf("got %d manifests, error %v, want the good one", len(all), err)
	}
	bad, odd := apart(bad)
	slices.Sort(odd)
	if got := strings.Join(odd, "\n"); len(odd) != 5 || !strings.Contains(got, `"photos/2026/summer" was not made`) ||
		!strings.Contains(got, `"strange name" was not made`) ||
		!strings.Contains(got, `"vm/od d" was not made`) || !strings.Contains(got, `"vm/stray" was not made`) ||
		!strings.Contains(got, "FOUND.000") {
		t.Errorf("got what is not a copy as\n%s", got)
	}
	if len(bad) != len(cases) {
		t.Errorf("got %d refused manifests, want %d: %v", len(bad), len(cases), bad)
	}
	for _, err := range bad {
		Refused(t, err, target.CodeBadManifest)
	}
}
