package runtime

import (
	"testing"

	"github.com/neosofia/runner/tests/memdir"
)

func TestMain(m *testing.M) { memdir.Main(m) }
