package gauge

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestImagesAreLikeDisksAndAlwaysTheSame(t *testing.T) {
	const size = 16 << 20
	dir := t.TempDir()
	var images [2][]byte
	for i, name := range []string{"a", "b"} {
		Image(t, filepath.Join(dir, name), size)
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || len(b) != size {
			t.Fatalf("got %d bytes, error %v, want %d", len(b), err, size)
		}
		images[i] = b
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two images of one size differ")
	}
	zeros := 0
	for i := 0; i < size; i += 4096 {
		if bytes.Equal(images[0][i:i+4096], make([]byte, 4096)) {
			zeros++
		}
	}
	if share := zeros * 100 / (size / 4096); share < 15 || share > 50 {
		t.Errorf("got %d %% of zero pages, want about 30", share)
	}
}

func TestTheMedianOfAnEvenNumberIsTheHigherOne(t *testing.T) {
	for _, c := range []struct {
		list []Cost
		want time.Duration
	}{
		{[]Cost{{CPU: 3}, {CPU: 1}, {CPU: 2}}, 2},
		{[]Cost{{CPU: 2}, {CPU: 1}}, 2},
	} {
		if got := Median(c.list, func(c Cost) time.Duration { return c.CPU }); got != c.want {
			t.Errorf("median of %v: got %d, want %d", c.list, got, c.want)
		}
	}
}

// A gate that lets everything pass would be worth nothing.
func TestAFigureAboveItsGateFails(t *testing.T) {
	for _, c := range []struct {
		ours time.Duration
		mode Mode
		want bool
	}{{11, Full, true}, {10, Full, false}, {11, Smoke, false}} {
		rec := &recorder{TB: t}
		var b Table
		b.Ratio(rec, c.mode, "x", []Cost{{CPU: c.ours, Wall: 1}}, []Cost{{CPU: 10, Wall: 1}}, 1)
		if rec.failed != c.want {
			t.Errorf("%d of 10 in mode %d: failed %t, want %t", c.ours, c.mode, rec.failed, c.want)
		}
	}
}

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Helper()               {}
