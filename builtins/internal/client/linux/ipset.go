package linux

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// setsScript loads sets into a network namespace of its own and saves them again.
const setsScript = `echo loaded; ipset restore && exec ipset save`

// running is what changes of a member by itself: its counters, and the seconds that
// it has left. 0 seconds are without end.
var running = regexp.MustCompile(` packets \d+ bytes \d+| timeout [1-9]\d*`)

// readSets reads the sets of ipset, which rules of iptables name, and loads them
// elsewhere.
func (f *filter) readSets(ctx context.Context, h host.Host) error {
	if len(f.saved) == 0 {
		return nil
	}
	out, err := printed(ctx, h, "ipset", "save")
	if errors.Is(err, host.ErrNoProgram) {
		return nil // then no rule of iptables can name a set
	}
	if err != nil {
		return err
	}
	var create []string
	for _, line := range saved(out) {
		f.ipset = append(f.ipset, line)
		if strings.HasPrefix(line, "create ") {
			create = append(create, line)
		}
	}
	f.sets = strings.Join(create, "\n")
	if len(f.ipset) == 0 {
		return nil
	}
	f.setsLost, err = f.proveSets(ctx, h)
	return err
}

// proveSets says why the sets do not come back; "" when they do.
func (f *filter) proveSets(ctx context.Context, h host.Host) (string, error) {
	text := strings.Join(f.ipset, "\n") + "\n"
	r, err := h.Run(ctx, host.Command{Args: []string{"unshare", "-n", "sh", "-c", setsScript}, Stdin: strings.NewReader(text),
		Limit: maxListing})
	none := errors.Is(err, host.ErrNoProgram)
	if err != nil && !none {
		return "", err
	}
	again, loaded := bytes.CutPrefix(r.Stdout, []byte("loaded\n"))
	switch {
	case none:
		return (&noScratchError{"unshare is not on the host (Debian: util-linux)"}).Error(), nil
	case !loaded:
		return (&noScratchError{firstLine(r.Stderr)}).Error(), nil
	case r.Exit != 0:
		return (&notLoadedError{"ipset restore", firstLine(r.Stderr)}).Error(), nil
	}
	was, is := lasting(f.ipset), lasting(saved(again))
	if !slices.Equal(was, is) {
		return "what is loaded from it is not the same: " + firstOther(was, is), nil
	}
	return "", nil
}

// lasting are the lines of sets without what changes by itself, in their order by name.
func lasting(lines []string) []string {
	out := slices.Clone(lines)
	for i, line := range out {
		if strings.HasPrefix(line, "add ") {
			out[i] = running.ReplaceAllString(line, "")
		}
	}
	slices.Sort(out)
	return out
}

// addSets adds the sets, as a file that loads or as a gap.
func (x *Export) addSets(f *filter) error {
	if len(f.ipset) == 0 {
		return nil
	}
	if err := ruleset.Add(x.Document, "ipset", false, lasting(f.ipset)); err != nil {
		return err
	}
	text := []byte(strings.Join(f.ipset, "\n") + "\n")
	if f.setsLost == "" {
		x.file(IPSet, text, ruleset.Accepted{By: "ipset restore in a network namespace of its own", Equal: true})
		return nil
	}
	x.Document.Miss("sets of ipset", f.setsLost+". How they were printed is in "+UnprovenSets)
	x.file(UnprovenSets, text, ruleset.Accepted{By: "nothing: it is for reading"})
	return nil
}
