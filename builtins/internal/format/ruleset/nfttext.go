package ruleset

import (
	"regexp"
	"slices"
	"strings"
)

var tableHead = regexp.MustCompile(`^table (\S+) (.+) \{(?: # .*)?$`)

// Blocks takes nft's text apart by table, without remarks that are not of the rules.
func Blocks(text string) map[Table]string {
	out := map[Table]string{}
	var t Table
	var open []string
	for _, line := range strings.Split(text, "\n") {
		m := tableHead.FindStringSubmatch(line)
		switch {
		case m != nil && open == nil:
			t, open = Table{m[1], m[2]}, []string{"table " + m[1] + " " + m[2] + " {"}
		case open != nil:
			open = append(open, line)
			if line == "}" {
				out[t], open = strings.Join(open, "\n")+"\n", nil
			}
		}
	}
	return out
}

const flagsLine = "\tflags "

// TableFlags are a table's flags, from its block.
func TableFlags(block string) []string {
	lines, at := flagsAt(block)
	if at < 0 {
		return nil
	}
	return words(lines[at][len(flagsLine):])
}

// flagsAt finds the line of a table's flags, before its first set or chain.
func flagsAt(block string) ([]string, int) {
	lines := strings.Split(block, "\n")
	for i, line := range lines[1:] {
		if strings.HasPrefix(line, flagsLine) {
			return lines, i + 1
		}
		if strings.HasSuffix(line, "{") {
			break
		}
	}
	return lines, -1
}

// Unowned is a table's block without the flags of ownership: a table with them ends
// with the program that loads it.
func Unowned(block string) string { return withoutFlags(block, ownership) }

// Unflagged is a table's block without any flag.
func Unflagged(block string) string { return withoutFlags(block, func(string) bool { return true }) }

func withoutFlags(block string, which func(string) bool) string {
	lines, at := flagsAt(block)
	if at < 0 {
		return block
	}
	switch kept := slices.DeleteFunc(words(lines[at][len(flagsLine):]), which); {
	case len(kept) == 0:
		lines = slices.Delete(lines, at, at+1)
	default:
		lines[at] = flagsLine + strings.Join(kept, ",")
	}
	return strings.Join(lines, "\n")
}

func ownership(flag string) bool { return flag == "owner" || flag == "persist" }

// setFlags are the flags of a set, from the block of its table.
func setFlags(block, head string) []string {
	_, body, found := strings.Cut(block, "\n\t"+head+" {\n")
	if !found {
		return nil
	}
	body, _, _ = strings.Cut(body, "\n\t}")
	for _, line := range strings.Split(body, "\n") {
		if flags, ok := strings.CutPrefix(line, "\t"+flagsLine); ok {
			return words(flags)
		}
	}
	return nil
}

func words(flags string) []string {
	return strings.FieldsFunc(flags, func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
}
