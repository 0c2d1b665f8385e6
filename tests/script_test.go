package tests

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/neosofia/runner/tests/internal/program"
	"github.com/neosofia/runner/tests/memdir"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript runs the stories of script/ on the real binary. Beyond the commands
// of testscript there are those of commands_test.go.
//
// A story works in a folder of its own, which holds policies/ as it ships and
// a home folder that is the place of every default: no state of this machine is
// looked at.
func TestScript(t *testing.T) {
	bin := t.TempDir()
	if _, err := program.Build(bin, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	policies, err := filepath.Abs("../policies")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds:                commands,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("BIN", bin)
			for _, name := range []string{"HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"} {
				env.Setenv(name, filepath.Join(env.WorkDir, "home"))
			}
			if memdir.Other() != "" {
				other, err := os.MkdirTemp(memdir.Other(), "runner-script-")
				if err != nil {
					return err
				}
				env.Setenv("OTHER", other)
				env.Defer(func() { os.RemoveAll(other) })
			}
			env.Values[startedKey{}] = map[string]*started{}
			return os.CopyFS(filepath.Join(env.WorkDir, "policies"), os.DirFS(policies))
		},
	})
}
