package linux

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Files that set a network up hold keys and passwords in many forms: ifupdown's
// "wpa-psk KEY" and commands, networkd's "PrivateKey=", netplan's YAML. What is a
// secret is reported by the name it is under. Too much is left out rather than too
// little: what is missing is a gap that somebody reads, what leaked is not.

const redacted = "[redacted]"

// secretWord is in the names of keys and passwords.
var secretWord = regexp.MustCompile(`(?i)psk|pass|key|secret|private|shared|token`)

// setting is one name with a value, where it stands alone on its line: of a list,
// in quotes, or commented out.
var setting = regexp.MustCompile(`^([\s#;]*(?:-\s+)*)(["']?)([^\s:=#;"'{}\[\],]+)(["']?)([\s:=]+)(\S.*)$`)

// command is a line of ifupdown that is run.
var command = regexp.MustCompile(`^([\s#]*(?:pre-up|up|post-up|pre-down|down|post-down)\s+)(\S.*)$`)

// secretCommand is what a command does with keys: ip xfrm takes them as numbers.
var secretCommand = regexp.MustCompile(`(?i)psk|pass|key|secret|private|shared|token|xfrm|macsec|0x[0-9a-f]{16}`)

// redactFile takes keys and passwords out of a file, and says whether there were
// any. Not understood is a file of netplan or networkd that names one in a form
// that is not a name and a value on a line: nothing of it can be shown.
func redactFile(file, text string) (clean string, found, understood bool) {
	yaml := path.Dir(file) == "/etc/netplan"
	strict := yaml || path.Ext(file) == ".netdev"
	lines := logical(text, yaml)
	for i, line := range lines {
		comment := strings.HasPrefix(strings.TrimSpace(line), "#") || strings.HasPrefix(strings.TrimSpace(line), ";")
		m := setting.FindStringSubmatch(line)
		c := command.FindStringSubmatch(line)
		switch {
		case c != nil && !strict:
			if secretCommand.MatchString(c[2]) {
				lines[i], found = c[1]+redacted, true
			}
		case m != nil && isSecret(m[3]):
			if yaml && !comment && (spills(m, lines[i+1:]) || strings.Trim(m[5], " \t") != ":") {
				return "", true, false
			}
			lines[i], found = m[1]+m[2]+m[3]+m[4]+m[5]+redacted, true
		case !strict || !secretWord.MatchString(line):
		case comment:
			lines[i], found = "# "+redacted, true
		case m != nil && (public(m[3]) || !yaml && strings.TrimSpace(m[5]) == "="), yaml &&
			strings.TrimLeft(strings.TrimSpace(line), "- ") == "keys:":
		default:
			return "", true, false
		}
	}
	if !found {
		return text, false, true // to the byte: lines that go on were joined
	}
	return strings.Join(lines, "\n"), true, true
}

// isSecret reports names whose values are not shown.
func isSecret(name string) bool {
	return secretWord.MatchString(name) && !public(name) && !strings.HasPrefix(name, "kernel.keys.")
}

func public(name string) bool {
	return slices.Contains([]string{"publickey", "public", "public-key"}, strings.ToLower(name))
}

// logical are the lines of a text; those that a backslash continues are one.
func logical(text string, yaml bool) []string {
	lines := strings.Split(text, "\n")
	if yaml {
		return lines
	}
	out := lines[:0:0]
	open := false
	for _, l := range lines {
		if open {
			out[len(out)-1] = strings.TrimSuffix(strings.TrimRight(out[len(out)-1], " \t\r"), `\`) + " " + strings.TrimSpace(l)
		} else {
			out = append(out, l)
		}
		open = strings.HasSuffix(strings.TrimRight(l, " \t\r"), `\`)
	}
	return out
}

// spills reports that a value of YAML goes on after its line, or is not a plain one.
func spills(m []string, after []string) bool {
	value := strings.TrimSpace(m[6])
	if q := value[0]; q == '"' || q == '\'' {
		if end := strings.LastIndexByte(value, q); end == 0 {
			return true
		}
	} else if strings.IndexByte("|>&*!{[?", q) >= 0 {
		return true
	}
	column := len(m[1])
	for _, l := range after {
		if t := strings.TrimLeft(l, " \t"); strings.TrimSpace(t) != "" {
			return len(l)-len(t) > column
		}
	}
	return false
}
