#!/bin/sh
'''true'
# bin/pyrunc of a wheel for every Python: to a shell this, to Python a string before script/launcher.py (setup.py).
# The interpreter stands where the installer has written it: in the first lines of pyrunc-python, beside this file.
here=$0
while [ -L "$here" ]; do
    link=$(command -p readlink "$here") # whatever $PATH says
    case $link in /*) here=$link ;; *) here=${here%/*}/$link ;; esac
done
case $here in */*) here=${here%/*} ;; *) here=. ;; esac
first= second=
{ read -r first && read -r second; } 2>/dev/null <"$here/pyrunc-python"
case $first in
'#!/bin/sh') # a long path, or one with a space: exec'ed, in quotes if need be
    python=${second#*c? }
    python=${python%% ?[$]0*}
    case $python in '"'*'"' | "'"*"'") python=${python#?} && python=${python%?} ;; esac
    ;;
*) python=${first#??} ;;
esac
[ -x "$python" ] || python=$here/python3 # one that says how it is to be looked for: a virtual environment that may be moved
if ! [ -x "$python" ]; then
    echo "pyrunc: there is no ${first#??}, which it was installed for: install it again" >&2
    exit 1
fi
if /usr/bin/env @HOLD@ /bin/sh -c : 2>/dev/null; then
    exec /usr/bin/env @HOLD@ "$python" @OPTIONS@ "$0" "$@"
fi
exec "$python" -ISXutf8 "$0" "$@"
'''
