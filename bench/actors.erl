%% The Erlang side of bench/actors.py: the same four cases, on processes, gen_server and supervisor.
%% Prints "microseconds-of-processor-time-per-operation [bytes-per-process]".
-module(actors).
-export([main/1, init/1, handle_call/3, handle_cast/2, handle_info/2, start_link/1]).

main([Case, Count]) ->
    logger:set_primary_config(level, none),
    run(Case, list_to_integer(Count)),
    halt(0).

cpu() -> {T, _} = statistics(runtime), T.

report(Before, N) -> io:format("~.4f~n", [(cpu() - Before) * 1000 / N]).

%% A process that counts, as the actor of the other contenders does.
run("tell", N) ->
    Self = self(),
    Pid = spawn(fun() -> count(0, N, Self) end),
    Before = cpu(),
    tell(Pid, N),
    receive done -> ok end,
    report(Before, N);
run("cast", N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, server, []),
    Before = cpu(),
    cast(Pid, N),
    gen_server:call(Pid, 0, infinity),
    report(Before, N);
run("call", N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, server, []),
    Before = cpu(),
    call(Pid, N),
    report(Before, N);
run("start", N) ->
    {_, Rss} = rss(),
    Before = cpu(),
    Pids = [begin {ok, P} = gen_server:start_link(?MODULE, server, []), P end || _ <- lists:seq(1, N)],
    Time = (cpu() - Before) * 1000 / N,
    {_, After} = rss(),
    io:format("~.4f ~.1f~n", [Time, (After - Rss) / N]),
    length(Pids);
%% A registered permanent child of a one_for_one supervisor is told to crash; its init reports to us.
%% A fresh supervisor every 100 crashes, since OTP's list of restarts would grow with them.
run("crash", N) ->
    process_flag(trap_exit, true),
    register(bench, self()),
    Latencies = lists:sort(crash_rounds(N, [])),
    io:format("~.4f~n", [lists:nth(length(Latencies) div 2, Latencies) / 1000]).

crash_rounds(N, Latencies) when N =< 0 -> Latencies;
crash_rounds(N, Latencies) ->
    {ok, Pid} = supervisor:start_link(?MODULE, {supervisor, 100}),
    receive {up, _} -> ok end,
    More = crash(100, Latencies),
    exit(Pid, shutdown),
    receive {'EXIT', Pid, _} -> ok end,
    crash_rounds(N - 100, More).

count(N, N, Owner) -> Owner ! done;
count(I, N, Owner) -> receive _ -> count(I + 1, N, Owner) end.

tell(_, 0) -> ok;
tell(Pid, N) -> Pid ! N, tell(Pid, N - 1).

cast(_, 0) -> ok;
cast(Pid, N) -> gen_server:cast(Pid, N), cast(Pid, N - 1).

call(_, 0) -> ok;
call(Pid, N) -> N = gen_server:call(Pid, N), call(Pid, N - 1).

crash(0, Latencies) -> Latencies;
crash(N, Latencies) ->
    crasher ! boom,
    Crashed = receive {crashed, At} -> At end,
    receive {up, Up} -> crash(N - 1, [Up - Crashed | Latencies]) end.

start_link(crasher) -> gen_server:start_link({local, crasher}, ?MODULE, crasher, []).

init(server) -> {ok, 0};
init(crasher) -> bench ! {up, erlang:monotonic_time(nanosecond)}, {ok, 0};
init({supervisor, N}) ->
    {ok, {#{strategy => one_for_one, intensity => N + 1, period => 3600},
          [#{id => crasher, start => {?MODULE, start_link, [crasher]}}]}}.

handle_call(X, _, N) -> {reply, X, N + 1}.
handle_cast(_, N) -> {noreply, N}.
handle_info(boom, _) -> bench ! {crashed, erlang:monotonic_time(nanosecond)}, exit(boom).

rss() ->
    {ok, Bin} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:split(binary_to_list(Bin), " ", all),
    {ok, list_to_integer(Pages) * 4096}.
