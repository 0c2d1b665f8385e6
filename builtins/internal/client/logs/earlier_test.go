package logs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// earlierSpot is what a batch said before marks were.
func (p *place) earlierSpot(name string, offset int, before string) string {
	p.t.Helper()
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	read := func(name string) ([]byte, uint64, uint64) {
		raw, err := os.ReadFile(p.path(name))
		p.must(err)
		info, err := os.Stat(p.path(name))
		p.must(err)
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			p.t.Fatal("no inode")
		}
		return raw, st.Dev, st.Ino
	}
	raw, dev, inode := read(name)
	raw = raw[:offset]
	out := fmt.Sprintf(`{"dev":%d,"inode":%d,"offset":%d,"head":%q,"head_len":%d,"tail":%q`, dev, inode, offset, sum(raw[:min(offset, 1024)]),
		min(offset, 1024), sum(raw[max(0, offset-1024):]))
	if before != "" {
		old, dev, inode := read(before)
		out += fmt.Sprintf(`,"before":{"dev":%d,"inode":%d,"head":%q,"len":%d}`, dev, inode, sum(old[:min(len(old), 1024)]), min(len(old), 1024))
	}
	return out + "}"
}

// A host that was backed up by an earlier version goes on where that stood.
func TestPositionsOfEarlierBatchesAreReadOn(t *testing.T) {
	long := strings.Repeat("a long line of the file that was read before\n", 60)
	for name, c := range map[string]struct {
		then func(*place)
		gaps int
		want string
	}{
		"nothing":   {func(*place) {}, 0, ""},
		"written":   {func(p *place) { p.add("a.log", "new\n") }, 0, "new\n"},
		"rotated":   {func(p *place) { p.add("a.log", "rest\n"); p.move("a.log", "a.log.0"); p.write("a.log", "new\n") }, 0, "rest\nnew\n"},
		"truncated": {func(p *place) { p.write("a.log", "new\n") }, 1, "new\n"},
		"copied": {func(p *place) {
			p.add("a.log", "rest\n")
			raw, err := os.ReadFile(p.path("a.log"))
			p.must(err)
			p.write("a.log.0", string(raw))
			p.write("a.log", "new\n")
		}, 0, "rest\nnew\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a.log.2", "oldest\n")
			p.write("a.log.1", "old\n")
			p.write("a.log", long)
			key, err := json.Marshal(p.path("a.log"))
			p.must(err)
			p.must(json.Unmarshal(fmt.Appendf(nil, `{"files":{%s:%s}}`, key, p.earlierSpot("a.log", len(long), "a.log.1")), &p.pos))
			c.then(p)
			want := map[string]string{}
			if c.want != "" {
				want["a.log"] = c.want
			}
			p.wants("a.log", c.gaps, want)
			if spot := p.pos.Files[p.path("a.log")]; spot.Earlier != nil || len(spot.Marks) < 3 {
				t.Errorf("got %+v", spot)
			}
			p.wants("a.log", 0, map[string]string{})
		})
	}
}
