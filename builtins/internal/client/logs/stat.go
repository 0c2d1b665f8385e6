package logs

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
)

const perCall = 500 // names: a command line over SSH holds 128 KiB

// identities are those of the regular files among names. Those that went meanwhile
// are left out.
func (r *fileRead) identities(ctx context.Context, dir string, names []string) (map[string]*file, error) {
	out := map[string]*file{}
	for some := range slices.Chunk(names, perCall) {
		if err := r.stat(ctx, dir, some, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// stat asks in the order of the names. None is printed: one can hold line ends, and
// look like a line. Where a line is missing the halves are asked for, down to the
// file that went.
func (r *fileRead) stat(ctx context.Context, dir string, names []string, out map[string]*file) error {
	args := []string{"stat", "-L", "-c", "%f %d %i %s %Y %y", "--"}
	for _, n := range names {
		args = append(args, path.Join(dir, n))
	}
	res, err := r.h.Run(ctx, host.Command{Args: args})
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	if lines[0] == "" {
		lines = nil
	}
	if len(lines) != len(names) {
		if len(names) == 1 {
			return nil
		}
		half := len(names) / 2
		if err := r.stat(ctx, dir, names[:half], out); err != nil {
			return err
		}
		return r.stat(ctx, dir, names[half:], out)
	}
	for i, line := range lines {
		f, mode, err := parseStat(line)
		if err != nil {
			return fmt.Errorf("read what stat printed: %q", line)
		}
		f.path = path.Join(dir, names[i])
		if mode&0xF000 == 0x8000 { // regular
			out[names[i]] = f
		}
	}
	return nil
}

func parseStat(line string) (*file, uint64, error) {
	f := strings.Fields(line)
	if len(f) < 5 {
		return nil, 0, errors.New("too short")
	}
	mode, err := strconv.ParseUint(f[0], 16, 32)
	if err != nil {
		return nil, 0, err
	}
	dev, err1 := strconv.ParseUint(f[1], 10, 64)
	inode, err2 := strconv.ParseUint(f[2], 10, 64)
	size, err3 := strconv.ParseInt(f[3], 10, 64)
	seconds, err4 := strconv.ParseInt(f[4], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, 0, err
	}
	if size < 0 {
		return nil, 0, errors.New("a size below 0")
	}
	return &file{dev: dev, inode: inode, size: size, clear: -1, changed: time.Unix(seconds, fraction(f[5:])).UTC()}, mode, nil
}

// fraction is what "2026-11-28 08:00:00.123456789 +0000" has of a second: 0 when a
// system's stat does not tell.
func fraction(changed []string) int64 {
	if len(changed) > 1 {
		if _, digits, ok := strings.Cut(changed[1], "."); ok && len(digits) == 9 {
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 {
				return n
			}
		}
	}
	return 0
}
