package proxmox

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Lines collects the lines of a log, and tells progress from them. Only the
// first and last thousands are kept of a log that goes on and on.
type Lines struct {
	All      []string
	Progress func(done, total int64)
}

const maxLines = 20_000

var progress = regexp.MustCompile(`^INFO:\s+\d+% \((\S+ \S+) of (\S+ \S+)\) in `)

// Add takes one line.
func (l *Lines) Add(line string) {
	if len(line) > 4096 {
		line = line[:4096]
	}
	if m := progress.FindStringSubmatch(line); m != nil {
		l.Progress(bytesOf(m[1]), bytesOf(m[2]))
		return
	}
	if len(l.All) >= maxLines { // many at a time: each removal moves what follows
		l.All = slices.Delete(l.All, maxLines/2, maxLines/2+maxLines/20)
	}
	l.All = append(l.All, line)
}

func bytesOf(text string) int64 {
	number, unit, _ := strings.Cut(text, " ")
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	scale := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]
	return int64(f * scale)
}
