package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// What is opened is extracted, and what is not is not: trees are drawn at random of a
// few names, so that entries meet in every way.
func TestWhatIsOpenedIsExtracted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "./", "."}
	path := func() string {
		p := names[r.IntN(3)]
		for r.IntN(3) == 0 {
			p += "/" + names[r.IntN(len(names))]
		}
		return p
	}
	taken := 0
	for i := range 3000 {
		var entries []tarEntry
		for range 1 + r.IntN(8) {
			h := tar.Header{Name: path(), Mode: 0o755}
			data := ""
			switch r.IntN(7) {
			case 0, 1:
				h.Typeflag = tar.TypeDir
			case 2:
				h.Typeflag, h.Linkname = tar.TypeSymlink, path()
			case 3:
				h.Typeflag, h.Linkname = tar.TypeLink, path()
			case 4:
				h.Typeflag = []byte{tar.TypeFifo, tar.TypeChar, tar.TypeBlock}[r.IntN(3)]
			default:
				h.Typeflag, data = tar.TypeReg, fmt.Sprint(i)
				h.Size = int64(len(data))
			}
			if h.Typeflag != tar.TypeDir {
				h.Name = strings.TrimRight(h.Name, "/")
			}
			entries = append(entries, tarEntry{h, data})
		}
		b := tarOf(t, entries...)
		_, opened := check("a.tar", b)
		_, extracted := ExtractTree(context.Background(), "a.tar", bytes.NewReader(b), t.TempDir(), Options{SkipDevices: true})
		if (opened == nil) != (extracted == nil) {
			for _, e := range entries {
				t.Logf("%c %s -> %s", e.Typeflag, e.Name, e.Linkname)
			}
			t.Fatalf("opened: %v\nextracted: %v", opened, extracted)
		}
		if opened == nil {
			taken++
		} else if own := (*Error)(nil); !errors.As(opened, &own) || opened.Error() != extracted.Error() {
			t.Errorf("opened: %v\nextracted: %v", opened, extracted)
		}
	}
	if taken < 500 || taken > 2900 {
		t.Errorf("%d of 3000 were taken: this says little", taken)
	}
}

func TestClaimsThatNoDiskHolds(t *testing.T) {
	s := newShape()
	e := entry{Header: &tar.Header{Typeflag: tar.TypeReg, Size: 1 << 60}, path: "a"}
	if err := s.take(e); err == nil {
		t.Error("an entry of 1 EiB is taken")
	}
	for range 17 {
		e.Size = 1 << 40
		e.path += "a"
		if err := s.take(e); (err != nil) != (len(e.path) > 17) {
			t.Fatalf("%d TiB: got %v", len(e.path)-1, err)
		}
	}
}
