package target

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

func sampleManifest() Manifest {
	digest := strings.Repeat("ab", 32)
	a := ledger.Artifact{ID: "a1", Kind: "vm", Item: "erp", Created: time.Date(2026, 11, 23, 7, 11, 16, 0, time.UTC),
		Files: []ledger.File{{Name: "disk.raw", Size: 10, SHA256: digest}}, Declared: map[string]string{"A": "1", "a": "2"}}
	c := ledger.Copy{ID: "c1", Artifact: "a1", Kind: "vm", Item: "erp", Ref: folderOf(a), Bytes: 10,
		Files: []ledger.StoredFile{{Name: "disk.raw.001", Of: "disk.raw", Part: 1, Size: 6, SHA256: digest},
			{Name: "disk.raw.002", Of: "disk.raw", Part: 2, Size: 4, SHA256: digest}}}
	return Manifest{Version: 1, Artifact: a, Copy: c}
}

func TestManifestsThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*Manifest){
		"a part is missing":         func(m *Manifest) { m.Copy.Files = m.Copy.Files[:1]; m.Copy.Bytes = 6 },
		"the first part is missing": func(m *Manifest) { m.Copy.Files = m.Copy.Files[1:]; m.Copy.Bytes = 4 },
		"parts in another order":    func(m *Manifest) { f := m.Copy.Files; f[0], f[1] = f[1], f[0] },
		"a part twice":              func(m *Manifest) { m.Copy.Files[1] = m.Copy.Files[0]; m.Copy.Bytes = 12 },
		"names that differ in case": func(m *Manifest) { m.Copy.Files[1].Name = "DISK.raw.001" },
		"a file of no artifact":     func(m *Manifest) { m.Copy.Files[1].Of = "other" },
		"a wrong sum":               func(m *Manifest) { m.Copy.Bytes++ },
		"sizes that overflow":       func(m *Manifest) { m.Copy.Files[0].Size, m.Copy.Files[1].Size = 1<<62, 1<<62 },
		"a digest in capitals":      func(m *Manifest) { m.Copy.Files[0].SHA256 = strings.Repeat("AB", 32) },
		"no files":                  func(m *Manifest) { m.Artifact.Files, m.Copy.Files, m.Copy.Bytes = nil, nil, 0 },
		"an id that is a path":      func(m *Manifest) { m.Copy.ID = "../x" },
		"another artifact's copy":   func(m *Manifest) { m.Copy.Artifact = "a2" },
		"a folder of two levels":    func(m *Manifest) { m.Copy.Ref = "vm/" + strings.TrimPrefix(m.Copy.Ref, "vm/erp/") },
		"a time that is none":       func(m *Manifest) { m.Copy.Ref = "vm/erp/20261399T071116Z-a1" },
		"a negative tree":           func(m *Manifest) { m.Tree.Size = -1 },
		"a root that is none":       func(m *Manifest) { m.Tree.Root = "xyz" },
	} {
		t.Run(name, func(t *testing.T) {
			m := sampleManifest()
			change(&m)
			if b, err := encodeManifest(m); err == nil {
				t.Errorf("got it accepted, want it refused: %s", b)
			}
		})
	}
	if _, err := encodeManifest(sampleManifest()); err != nil {
		t.Errorf("got %v for a good one", err)
	}
}

// Numbers and names that lead elsewhere.
func TestManifestsOfLessThanNothing(t *testing.T) {
	for name, change := range map[string]func(*Manifest){
		"an artifact of less than nothing": func(m *Manifest) { m.Artifact.Bytes = -1 },
		"written in less than no time":     func(m *Manifest) { m.Copy.WriteNanos = -1 },
		"an asset that is a path":          func(m *Manifest) { m.Artifact.Asset, m.Copy.Asset = "../../x", "../../x" },
		"needs that are a path":            func(m *Manifest) { m.Artifact.Needs = []string{"../../etc/shadow"} },
	} {
		m := sampleManifest()
		change(&m)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseManifest(raw); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	b, err := encodeManifest(sampleManifest())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseManifest(bytes.Replace(b, []byte("{"), []byte("{\"\xff\": 1,"), 1)); err == nil ||
		!strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a key that is no UTF-8: got %v", err)
	}
}

// Whoever writes a medium cannot write a script or a terminal.
func TestNoTextOfAManifestLeavesItsLine(t *testing.T) {
	for name, change := range map[string]func(*Manifest, string){
		"a declared value":  func(m *Manifest, s string) { m.Artifact.Declared["erases"] = s },
		"a declared name":   func(m *Manifest, s string) { m.Artifact.Declared[s] = "x" },
		"what is missing":   func(m *Manifest, s string) { m.Artifact.Gaps = []ledger.Gap{{What: s}} },
		"why it is missing": func(m *Manifest, s string) { m.Artifact.Gaps = []ledger.Gap{{Why: s}} },
		"whose it is":       func(m *Manifest, s string) { m.Artifact.Gaps = []ledger.Gap{{Item: s}} },
		"what it needs":     func(m *Manifest, s string) { m.Artifact.Needs = []string{s} },
		"a field":           func(m *Manifest, s string) { m.Fields = map[string]string{"policy": s} },
		"a serial":          func(m *Manifest, s string) { m.Copy.Device.Serial = s },
		"a label":           func(m *Manifest, s string) { m.Copy.Device.Label = s },
		"a mount":           func(m *Manifest, s string) { m.Copy.Device.Mount = s },
		"a recipient":       func(m *Manifest, s string) { m.Copy.SealedTo = []string{s} },
		"consistency":       func(m *Manifest, s string) { m.Artifact.Consistency = s },
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{"none\ntouch /tmp/x #", "\x1b[2J", "\u009b2J", "a\u202eb", "\r"} {
				m := sampleManifest()
				change(&m, text)
				raw, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				if name == "what it needs" { // an artifact's id is one, or it is refused
					if _, err := ParseManifest(raw); err == nil || !strings.Contains(err.Error(), "is not an artifact") {
						t.Errorf("%q: got %v, want it refused", text, err)
					}
					continue
				}
				if _, err := ParseManifest(raw); err == nil || !strings.Contains(err.Error(), "cannot be shown") {
					t.Errorf("%q: got %v, want it refused", text, err)
				}
				b, err := encodeManifest(m) // what we write ourselves is made such as can be read
				if err != nil {
					t.Errorf("%q: got %v, want it on one line", text, err)
				} else if _, err := ParseManifest(b); err != nil {
					t.Errorf("%q: got %v", text, err)
				}
			}
		})
	}
}

func FuzzManifest(f *testing.F) {
	b, err := encodeManifest(sampleManifest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"artifact":{"files":[{}]},"copy":{"files":[{"part":-1}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		again, err := encodeManifest(m)
		if err != nil {
			t.Fatalf("a manifest that was read cannot be written: %v", err)
		}
		for _, s := range m.Copy.Files {
			if !safePart(s.Name) || s.Size < 0 {
				t.Errorf("got stored file %+v", s)
			}
		}
		if strings.Contains(m.Copy.Ref, "..") && checkFolder(m.Copy.Ref, m.Artifact.ID) != nil {
			t.Errorf("got folder %q", m.Copy.Ref)
		}
		guide(m, nil)
		if !json.Valid(again) {
			t.Error("got JSON that is none")
		}
	})
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte(`{"sealed_to":["x"],"part_size":1,"files":{"a":{"clear":"` + strings.Repeat("ab", 32) + `","sha256":"` + strings.Repeat("ab",
		32) + `","size":5}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseProgress(b)
		if err != nil {
			return
		}
		for name, done := range p.Files {
			if !safePart(name) || done.Size <= 0 || !isDigest(done.SHA256) {
				t.Errorf("got %q: %+v", name, done)
			}
		}
	})
}

func FuzzSuperblock(f *testing.F) {
	f.Add([]byte("XFSB"))
	f.Add(make([]byte, superblockSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if sb, ok := parseSuperblock(b); ok && !printable(sb.label) {
			t.Errorf("got label %q", sb.label)
		}
	})
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\\040\n"), "/mnt2/x")
	f.Fuzz(func(t *testing.T, table []byte, path string) {
		if m, ok := findMount(table, path); ok && !covers(m.point, path) {
			t.Errorf("got mount %v for %q", m, path)
		}
	})
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"erp", "ERP", "a b", "a_b", "a/b", "a--b", "..", ".", "", "-rf", ".hidden", "dot.", "ü", "x\x00y",
		"README.txt", "readme.TXT", "manifest.json", "SHA256SUMS", "progress.json", strings.Repeat("x", 300), strings.Repeat("x", 301),
		"a b.vma.zst", "a_b--0123456789abcdef", "con", "CON.txt", "nul.raw", "lpt1", "_vti_", "a_VTI_b", "desktop.ini"} {
		for kind, make := range map[string]func(string) string{"name": safeName, "file": safeFile, "kind": safeKind} {
			got := make(name)
			if !safePart(got) || len(got) > maxName || strings.Contains(got, "..") || strings.HasSuffix(got, ".") {
				t.Errorf("got %q for %q", got, name)
			}
			if reserved(got) {
				t.Errorf("got %q for %q, which SharePoint refuses", got, name)
			}
			if other, twice := seen[kind+got]; twice && other != name {
				t.Errorf("got %q for both %q and %q", got, name, other)
			}
			seen[kind+got] = name
		}
	}
	if got := safeFile("a b.vma.zst"); !strings.HasSuffix(got, ".vma.zst") {
		t.Errorf("got %q, want the ending kept", got)
	}
	for _, name := range []string{"README.txt", "manifest.json", "SHA256SUMS", "progress.json"} {
		if safeFile(name) == name {
			t.Errorf("got %q for a file of an artifact, want another name than ours", name)
		}
	}
}

func TestSizesOfSealedFilesAreExact(t *testing.T) {
	for _, n := range []int64{0, 1, 65535, 65536, 65537, 200_000} {
		tgt := &Target{spec: Spec{Name: "x", SealedTo: []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}}}
		if err := tgt.readySeals(); err != nil {
			t.Fatal(err)
		}
		want := tgt.head + 16 + n + 16*max(1, (n+65535)/65536)
		if got := tgt.sealedSize(n); got != want {
			t.Errorf("got %d for %d, want %d", got, n, want)
		}
		for _, size := range []int64{500, 5000, 65_536, 70_000, 1 << 20} {
			tgt.spec.PartSize = size
			if per := tgt.clearPart(); per <= 0 || tgt.sealedSize(per) > size || tgt.sealedSize(per+17) <= size {
				t.Errorf("got %d clear bytes for parts of %d, which seal to %d", per, size, tgt.sealedSize(per))
			}
		}
	}
}

func TestBandwidthIsKept(t *testing.T) {
	l := newLimiter(1 << 20)
	begin := time.Now()
	r := l.wrap(context.Background(), strings.NewReader(strings.Repeat("x", 300<<10)))
	if n, err := io.Copy(io.Discard, r); err != nil || n != 300<<10 {
		t.Fatalf("got %d bytes, error %v", n, err)
	}
	if took := time.Since(begin); took < 150*time.Millisecond {
		t.Errorf("got 300 KiB in %s at 1 MiB/s", took)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	slow := newLimiter(1)
	slow.have = -1 << 20
	if err := slow.take(ctx, 1); err != context.Canceled {
		t.Errorf("got %v, want the waiting ended", err)
	}
}
