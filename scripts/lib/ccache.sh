# Sourced by scripts that build: compile C++ through ccache where it is installed.
# This sets PATH and not CXX: with another CXX, cargo would build RocksDB again.
for links in /usr/lib/ccache /usr/lib64/ccache; do
    if [ -x "$links/c++" ]; then
        export PATH="$links:$PATH"
        break
    fi
done
