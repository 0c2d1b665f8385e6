package crash

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// whole looks at the targets: every folder of a copy is complete, and nothing is
// a draft.
func (s *site) whole(t *testing.T) {
	t.Helper()
	folders := 0
	for _, root := range []string{"machine/media/offline-a", "machine/srv/copies", "machine/srv/copies/sealed", "offsite/home/runner",
		"pve/nodes/pve1/srv/backup/dump"} {
		root = filepath.Join(s.world, root)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) && path == root {
				return nil // this policy writes no copy there
			}
			if err != nil {
				return err
			}
			rel, name := strings.TrimPrefix(path, root+"/"), d.Name()
			switch {
			case rel == "sealed" && strings.HasSuffix(root, "copies"):
				return fs.SkipDir // a target of its own
			case strings.HasSuffix(name, ".part"), strings.HasSuffix(name, ".dat"), strings.HasSuffix(name, ".tmp"):
				t.Errorf("%s is a draft", path)
			case strings.HasPrefix(rel, ".runner-parts/"):
				t.Errorf("%s was left by a broken transfer", path)
			case d.IsDir() && strings.Count(rel, "/") == 2:
				folders++
				s.copyFolder(t, path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if folders < 8 {
		t.Errorf("got %d copies on the targets, want 8 or more", folders)
	}
}

// copyFolder wants a copy's own three files, and those of SHA256SUMS as they are
// listed there. What was read once is not read after each further night.
func (s *site) copyFolder(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
		return
	}
	text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Error(err)
		return
	}
	want := []string{"SHA256SUMS", "manifest.json"}
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if want = append(want, name); s.read[filepath.Join(dir, name)] {
			continue
		}
		if got, err := digest(filepath.Join(dir, name)); got != sum {
			t.Errorf("%s in %s: got %s, %v, want %s", name, dir, got, err, sum)
		}
		s.read[filepath.Join(dir, name)] = true
	}
	if !slices.Contains(want, "README.txt") {
		want = append(want, "README.txt")
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(names, want) || len(want) < 4 {
		t.Errorf("%s holds %v, want %v", dir, names, want)
	}
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// made looks where artifacts are made before they are copied: the spool holds what
// the newest run made, the node its rescue image and the one before, and both
// nothing half done.
func (s *site) made(t *testing.T, r report) {
	t.Helper()
	known := map[string]string{} // folder -> kind
	for _, i := range r.Items {
		known[i.Artifact.ID] = i.Artifact.Kind
		if i.Artifact.Kind == "rear" {
			known[s.image], s.image = "rear", i.Artifact.ID
		}
	}
	for dir, kinds := range map[string][]string{
		filepath.Join(s.state, "spool"):                              {"zone", "ruleset", "secrets", "logs"},
		filepath.Join(s.world, "pve/nodes/pve1/var/lib/runner/rear"): {"rear"},
	} {
		list, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		for _, e := range list {
			id := strings.TrimSuffix(e.Name(), ".conf") // beside an image: what it was made with
			if !slices.Contains(kinds, known[id]) {
				t.Errorf("%s holds %s, which the run did not make or left half done", dir, e.Name())
			}
		}
	}
}
