package adopt

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
)

type file struct {
	fs.FileInfo
	size    int64
	written time.Time
}

func (f file) Size() int64        { return f.size }
func (f file) ModTime() time.Time { return f.written }

func TestOnlyAnArchiveThatNobodyWritesToIsRead(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	made := proxmox.Int(now.Add(-2 * time.Hour).Unix())
	for _, c := range []struct {
		name  string
		busy  proxmox.Int // start of a vzdump that runs; 0: none does
		size  int64
		since time.Duration
		words string
		clock bool
	}{
		{"an old one", 0, 10, time.Hour, "", false},
		{"a minute old", 0, 10, time.Minute, "", false},
		{"younger", 0, 10, time.Minute - 1, "less than a minute", false},
		{"it grew since it was listed", 0, 11, time.Hour, "10 bytes, then 11", false},
		{"it shrank", 0, 9, time.Hour, "10 bytes, then 9", false},
		{"of a job that runs", made - 60, 10, time.Hour, "has not ended", false},
		{"the first of a job that runs", made + 1, 10, time.Hour, "has not ended", false},
		{"older than the job that runs", made + 2, 10, time.Hour, "", false},
		{"a clock that is a little ahead", 0, 10, -time.Minute, "less than a minute", false},
		{"a clock that is ahead", 0, 10, -time.Hour, "1h0m0s ahead", true},
	} {
		f := &archive{Volume: proxmox.Volume{Size: 10, CTime: made}}
		if c.busy != 0 {
			f.busy = []proxmox.Task{{Start: c.busy}}
		}
		why, clock := f.unsettled(now, file{size: c.size, written: now.Add(-c.since)})
		if clock != c.clock || (why == "") != (c.words == "") || !strings.Contains(why, c.words) {
			t.Errorf("%s: got %q, %v", c.name, why, clock)
		}
	}
}
